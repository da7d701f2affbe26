#!/usr/bin/env bash
# What has to hold of Argo CD and what it syncs. Sourced by inside.sh. Conditions are chained: `set -e` does not reach
# into what check and until_true run.

TEAM=platform

# app_is APPLICATION JSONPATH VALUE
app_is() {
  local found
  found=$(kubectl get application "$1" --namespace argocd --output "jsonpath={$2}")
  [ "$found" = "$3" ] || { echo "$1 $2: $found"; return 1; }
}

synced() {
  app_is "$1" .status.sync.status Synced
}

# of_integration JSONPATH
of_integration() {
  kubectl get portawsintegration production --namespace "$TEAM" --output "jsonpath={$1}"
}

HEALTH='.status.resources[?(@.kind=="PortAwsIntegration")].health'

# judged HEALTH: Argo CD thinks that of the integration, and so of the Application.
judged() {
  app_is port-aws-integrations .status.health.status "$1" && app_is port-aws-integrations "$HEALTH.status" "$1"
}

# Argo CD says what the operator says. It looks again when the health changes, not for other words alone: it is asked.
says_the_same() {
  local said
  said=$(of_integration '.status.conditions[?(@.type=="Ready")].message') && refresh >/dev/null &&
    app_is port-aws-integrations "$HEALTH.message" "${said:-Waiting for the operator}"
}

# ready_because REASON
ready_because() {
  [ "$(of_integration '.status.conditions[?(@.type=="Ready")].reason')" = "$1" ]
}

# becomes HEALTH SECONDS
becomes() {
  until_true "$2" "$1" judged "$1"
}

# made_at RESOURCE NAME: the line of the audit log where the first whose name begins so was made.
made_at() {
  grep '"code":201' "$STATE/audit.log" -n | grep -v 'dryRun=All' |
    grep -m 1 "\"resource\":\"$1\",.*\"name\":\"$2" | cut -d : -f 1
}

in_waves() {
  local kind other kinds operator access
  kinds=$(made_at customresourcedefinitions portawsaccesses)
  kind=$(made_at customresourcedefinitions portawsintegrations)
  [ "$kinds" -gt "$kind" ] || kinds=$kind
  access=$(made_at portawsaccesses default)
  for other in serviceaccounts clusterroles services deployments; do
    operator=$(made_at $other port-aws-operator)
    echo "line of the kinds $kinds, $other $operator, access $access"
    [ "$kinds" -lt "$operator" ] && [ "$operator" -lt "$access" ] || return 1
  done
}

# Once, at the revision that is in Git, and nothing had to be tried again.
first_sync_succeeded() {
  local operation=.status.operationState
  app_is port-aws-operator $operation.phase Succeeded &&
    app_is port-aws-operator $operation.syncResult.revision "$(git -C "$OPERATOR_GIT" rev-parse HEAD)" &&
    app_is port-aws-operator '.status.history[*].id' 0 &&
    ! grep '"application":"port-aws-operator".*Retrying operation' "$STATE/application-controller.log"
}

account_state() {
  control GET "state?account=$ACCOUNT"
}

role_is_there() {
  account_state | grep -q '"name": "PortIntegrationRole-aws-prod"'
}

role_is_being_made() {
  control GET 'parked?rule=slow&wait=30' | grep -q CreateRole
}

nobody_has_access() {
  local found
  found=$(kubectl get portawsaccesses --output=name) && [ -z "$found" ]
}

# Every object of the team's namespace, but events.
objects() {
  local kinds
  kinds=$(kubectl api-resources --namespaced --verbs=list --output=name | grep -vE '^(events|endpoints$)') &&
    kubectl get "$(paste --serial --delimiters=, <<<"$kinds")" --namespace "$TEAM" --ignore-not-found --output=name
}

# as_before COMMAND FILE: it says what it said then.
as_before() {
  "$1" | diff "$2" -
}

explain() {
  kubectl get applications --namespace argocd --output \
    'jsonpath={range .items[*]}{.metadata.name}{"\n"}{.status}{"\n"}{end}'
  kubectl get portawsintegrations --all-namespaces --output yaml
  grep -h -E '"level":"(warning|error|fatal)"' "$STATE"/{application-controller,repo-server}.log | tail -n 20
  tail -n 20 "$STATE/operator.log"
}

# The operator by its Application, while the integrations wait for it.
check_operator() {
  local deployment=deployment/port-aws-operator
  check "the Applications are applied, all at once" apply_applications "$1"
  check "kinds and operator are made" until_true 60 $deployment kubectl get $deployment --namespace "$NAMESPACE"
  check "the integration is synced before there is an operator" until_true 90 Synced synced port-aws-integrations
  check "which is Progressing" becomes Progressing 30
  check "it waits for the operator" until_true 30 "the message" says_the_same
  check "as long as no Pod is ready, nobody may use the operator" nobody_has_access
  # The call that makes the role takes its time.
  check "AWS is slow" control POST faults '{"id": "slow", "kind": "hold_before", "action": "CreateRole"}'
  check "the operator runs, with the arguments and rights that were synced" run_operator
  check "its Pods are ready" until_true 30 "as many Pods as replicas" pods_are_ready
  check "the operator is Synced" until_true 60 Synced synced port-aws-operator
  check "in its first sync, without another try" until_true 60 Succeeded first_sync_succeeded
  check "the kinds came first, then the operator, then who may use it" in_waves
}

check_health() {
  check "the role is being made" role_is_being_made
  check "which is Progressing" becomes Progressing 30
  check "AWS is fast again" control DELETE faults/slow
  check "the integration is Healthy" becomes Healthy 60
  check "with the operator's words" until_true 30 "the message" says_the_same
  check "the role is in AWS" role_is_there
  check "the operator is Healthy, and so is who may use it" until_true 60 Healthy \
    app_is port-aws-operator .status.health.status Healthy

  check "AWS denies to read the role" \
    control POST faults '{"id": "broken", "kind": "access_denied", "action": "GetRole"}'
  integration "interval: 1h"
  check "a change comes by Git" team_commits "Look each hour"
  check "AWS does" until_true 60 AccessDenied ready_because AccessDenied
  check "the integration is Progressing: it is tried again" becomes Progressing 60
  # The same that no try will mend.
  check "AWS cannot read the call" control POST faults \
    '{"id": "broken", "kind": "error", "action": "GetRole", "status": 400, "code": "InvalidInput", "message": "no"}'
  integration "interval: 90m"
  check "another change comes by Git" team_commits "Look more seldom"
  check "the integration is Degraded" becomes Degraded 60
  check "because of that" ready_because InvalidRequest
  check "with the operator's words" until_true 30 "the message" says_the_same
  check "although it is Synced" synced port-aws-integrations
  check "AWS is well again" control DELETE faults/broken
  integration "interval: 2h"
  check "another change comes by Git" team_commits "Look more seldom still"
  check "the integration is Healthy again" becomes Healthy 60
}

suspended() {
  kubectl patch portawsintegration/production --namespace "$TEAM" --type=merge --patch "{\"spec\": {\"suspend\": $1}}"
}

# A field that Git leaves open is for people, above all in an emergency.
check_suspension() {
  check "somebody suspends the integration" suspended true
  check "which is Suspended" becomes Suspended 60
  check "Argo CD says so, and does not mind" until_true 30 "the message" says_the_same
  check "it is Synced" synced port-aws-integrations
  check "somebody resumes it" suspended false
  check "which is Healthy" becomes Healthy 60
}

# add_by_hand RESOURCE: one account more, which is not in Git. Argo CD may be as fast as to have the next generation
# before one can ask.
add_by_hand() {
  kubectl patch "$1" --namespace "$TEAM" --type=json --output='jsonpath={.metadata.generation}' \
    --patch '[{"op": "add", "path": "/spec/accounts/-", "value": "444455556666"}]' >"$STATE/generation"
}

# not_pruned UID: Argo CD has thought about it, and the object is the same.
not_pruned() {
  grep '"application":"port-aws-integrations".*automated prune is disabled' "$STATE/application-controller.log" &&
    [ "$(of_integration '.metadata.uid}{.metadata.deletionTimestamp')" = "$1" ]
}

# reverted APPLICATION RESOURCE: the accounts are as they are in Git, and were written after the edit.
reverted() {
  local found
  found=$(kubectl get "$2" --namespace "$TEAM" --output='jsonpath={.spec.accounts} {.metadata.generation}') &&
    echo "$found" && [ "${found% *}" = "[\"$ACCOUNT\"]" ] && [ "${found#* }" -gt "$(cat "$STATE/generation")" ] &&
    synced "$1"
}

check_drift() {
  local uid
  check "somebody adds an account to the integration" add_by_hand portawsintegration/production
  check "Argo CD takes it away" until_true 60 "what is in Git" \
    reverted port-aws-integrations portawsintegration/production
  check "somebody adds an account to who may use the operator" add_by_hand portawsaccess/default
  check "Argo CD takes it away, too" until_true 60 "what is in Git" reverted port-aws-operator portawsaccess/default
  check "it is Healthy" becomes Healthy 60
  check "the role is still there" role_is_there

  uid=$(of_integration .metadata.uid)
  rm "$TEAM_GIT/port/production.yaml"
  check "the integration leaves the repository" team_commits "No integration"
  check "Argo CD sees it" until_true 60 OutOfSync app_is port-aws-integrations .status.sync.status OutOfSync
  check "and leaves it in the cluster" until_true 30 "its decision" not_pruned "$uid"
  check "with its role" role_is_there
  git -C "$TEAM_GIT" revert --no-edit HEAD >/dev/null
  check "it comes back" refresh
  check "as if nothing had been" until_true 60 Synced synced port-aws-integrations
}

check_deletion() {
  check "the integrations' Application is deleted, which ends" \
    kubectl delete application port-aws-integrations --namespace argocd --timeout=120s
  check "nothing of it is in AWS" as_before account_state "$STATE/account"
  check "nothing of it is in the namespace" as_before objects "$STATE/objects"
  check "the kinds and who may use them are there" kubectl get crd/portawsaccesses.integrations.port.io \
    crd/portawsintegrations.integrations.port.io portawsaccess/default
  check "the operator is Synced and runs" synced port-aws-operator
  check "the operator is well" curl --silent --fail http://127.0.0.1:8081/readyz
}

# checks chart|kustomize
checks() {
  kubectl create namespace "$TEAM" >/dev/null
  repositories
  account_state >"$STATE/account"
  objects >"$STATE/objects"
  check_operator "$1"
  check_health
  check_suspension
  check_drift
  check_deletion
}

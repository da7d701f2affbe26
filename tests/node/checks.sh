#!/usr/bin/env bash
# What has to hold on the node. Sourced by inside.sh.

CHART=charts/port-aws-operator
# Integrations that are made while replicas come and go.
BATCH=30

# What a check that failed shows.
explain() {
  kubectl get pods,events --namespace "$NAMESPACE"
  kubectl logs --namespace "$NAMESPACE" --selector app.kubernetes.io/name=port-aws-operator --tail=5 --prefix
}

# is OBJECT JSONPATH VALUE: the field has the value.
is() {
  [ "$(kubectl get --namespace "$NAMESPACE" "$1" --output "jsonpath={$2}")" = "$3" ]
}

at_most_six_commands() {
  # A line that ends in a backslash goes on.
  [ "$(first_integration | grep -cv '\\$')" -le 6 ]
}

run_first_integration() {
  first_integration >"$STATE/first.sh"
  bash -euxo pipefail "$STATE/first.sh" >"$STATE/first.log" || { cat "$STATE/first.log"; return 1; }
}

# The page's last command prints the ARN for Port.
printed_the_role() {
  tail -n 1 "$STATE/first.log" | grep -F '["arn:aws:iam::111122223333:role/PortIntegrationRole-aws-prod"]'
}

role_trusts_port() {
  role >"$STATE/role.json"
  grep -F 'system:serviceaccount:org-org_BneDtWovPqXaA2VZ-port-oidc-sa' "$STATE/role.json"
  grep -F 'arn:aws:iam::aws:policy/ReadOnlyAccess' "$STATE/role.json"
}

holder_is_not() {
  local now
  now=$(holder)
  [ -n "$now" ] && [ "$now" != "$1" ]
}

# The operator's processes, and the one in a Pod.
processes() {
  pgrep --full '^/usr/local/bin/port-aws-operator run'
}
process_of() {
  local pid
  for pid in $(processes); do
    if tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "HOSTNAME=$1"; then echo "$pid"; fi
  done
}

# In the processes, not in what was asked for.
run_as_asked() {
  local pid status line
  [ "$(processes | wc -l)" = 2 ]
  for pid in $(processes); do
    status=$(cat "/proc/$pid/status")
    for line in 'Uid:.65532.65532' 'Gid:.65532.65532' 'CapEff:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
      grep -E "^$line" <<<"$status" || { echo "not $line: $status"; return 1; }
    done
    grep -E '^[^ ]+ / [^ ]+ ro[, ]' "/proc/$pid/mounts" || { echo "the root is not read-only"; return 1; }
    tr '\0' '\n' <"/proc/$pid/environ" | grep -x MALLOC_ARENA_MAX=1 || return 1
  done
}

# The most that a process ever had, in KiB.
peak_memory() {
  local pid
  for pid in $(processes); do sed -n 's/^VmHWM:\s*\([0-9]*\) kB$/\1/p' "/proc/$pid/status"; done | sort -n | tail -n 1
}

# The binary here has no optimisation, and takes more than a released one.
memory_stays_below_the_limit() {
  local limit
  limit=$(kubectl get deployment port-aws-operator --namespace "$NAMESPACE" \
    --output 'jsonpath={.spec.template.spec.containers[0].resources.limits.memory}')
  echo "$(peak_memory) KiB, $limit"
  [ "$(peak_memory)" -lt $((${limit%Mi} * 1024)) ]
}

nothing_was_restarted() {
  [ "$(kubectl get pods --namespace "$NAMESPACE" --selector app.kubernetes.io/name=port-aws-operator \
    --output 'jsonpath={.items[*].status.containerStatuses[*].restartCount}')" = "0 0" ]
}

# integrate PREFIX: makes a batch of integrations, one after the other.
integrate() {
  local n
  for n in $(seq $BATCH); do
    kubectl apply --server-side --filename - <<YAML
apiVersion: integrations.port.io/v1alpha1
kind: PortAwsIntegration
metadata: {name: $1-$n, namespace: demo, labels: {batch: $1}}
spec: {organizationId: org_BneDtWovPqXaA2VZ, integrationIdentifier: $1-$n, accounts: ["111122223333"]}
YAML
  done
}

# meanwhile PREFIX WHAT COMMAND...: a check while integrations are made, all of which become Ready.
meanwhile() {
  local prefix=$1 maker
  shift
  integrate "$prefix" >"$STATE/$prefix.log" 2>&1 &
  maker=$!
  check "$@"
  check "integrations are made all the while" wait $maker
  check "all of them become Ready" \
    kubectl wait --for=condition=Ready --timeout=120s --namespace demo --selector "batch=$prefix" portawsintegration
}

monitoring_is_taken() {
  local values=(--reuse-values --set metrics.serviceMonitor.enabled=true --set metrics.prometheusRule.enabled=true
    --set metrics.dashboard.enabled=true --set networkPolicy.enabled=true --set log.level=debug --wait --timeout 90s)
  kubectl apply --server-side --filename "$NODE/monitoring" &&
    until_true 30 "kinds of the Prometheus operator" kubectl get servicemonitors,prometheusrules &&
    helm upgrade port-aws-operator $CHART --namespace "$NAMESPACE" "${values[@]}" &&
    kubectl get --namespace "$NAMESPACE" servicemonitor/port-aws-operator prometheusrule/port-aws-operator \
      networkpolicy/port-aws-operator
}

kill_holder() {
  kill -KILL "$(process_of "${1%_*}")" && until_true 90 "another holder" holder_is_not "$1"
}

checks() {
  local before
  restrict_namespace

  check "the first integration takes six commands at most" at_most_six_commands
  check "they lead to Ready as they are written, under Pod Security restricted" \
    run_first_integration
  check "the last one prints the role for Port" printed_the_role
  check "the role is there, and trusts Port's service account" role_trusts_port
  name_service "$NAMESPACE" port-aws-operator
  check "helm test asks the Service by its name" \
    helm test port-aws-operator --namespace "$NAMESPACE" --timeout 60s
  check "the processes have what was asked for: user, group, no capability, seccomp, a root to read" run_as_asked
  check "the events are written" until_true 30 "an event" \
    sh -c "kubectl get events.v1.events.k8s.io -n demo | grep portawsintegration"
  check "one of the replicas is drained at a time" is poddisruptionbudget/port-aws-operator .spec.maxUnavailable 1

  before=$(holder)
  meanwhile upgrade "an upgrade replaces the replicas, with all that monitors them, and a NetworkPolicy" \
    monitoring_is_taken
  check "the Lease went to a new replica" holder_is_not "$before"
  check "no process had to be restarted" nothing_was_restarted
  check "memory stays below the chart's limit ($(peak_memory) KiB)" memory_stays_below_the_limit

  before=$(holder)
  meanwhile kill "when the acting process is killed, another replica takes over" kill_holder "$before"
  before=$(holder)
  meanwhile delete "when the acting Pod is deleted, another replica takes over" \
    kubectl delete pod --namespace "$NAMESPACE" --wait "${before%_*}"
  check "the Lease went on" until_true 30 "another holder" holder_is_not "$before"
  check "each role was made once, by one process at a time" \
    "$AWS_PYTHON" tests/node/aws.py "$AWS_URL" check $((3 * BATCH + 1))
  cat "$STATE/check.log"

  check "the release is uninstalled" \
    helm uninstall port-aws-operator --namespace "$NAMESPACE" --wait --timeout 90s
  check "access and integration stay" kubectl get portawsaccess/default portawsintegration/production --namespace demo
  summary
}

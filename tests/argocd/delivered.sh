#!/usr/bin/env bash
# What teams deliver: repositories, Applications, and the operator. Sourced by inside.sh.

ACCOUNT=111122223333
NAMESPACE=port-aws-operator
OPERATOR_GIT=$STATE/git/port-aws-operator.git
TEAM_GIT=$STATE/git/platform.git
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.com GIT_COMMITTER_NAME=test
export GIT_COMMITTER_EMAIL=test@example.com GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# commit REPOSITORY MESSAGE: all that is in its folder.
commit() {
  git -C "$1" add --all
  git -C "$1" commit --quiet --message "$2"
}

# integration [MORE]: the team's resource as it is in Git, with further fields of its spec.
integration() {
  mkdir -p "$TEAM_GIT/port"
  cat >"$TEAM_GIT/port/production.yaml" <<YAML
apiVersion: integrations.port.io/v1alpha1
kind: PortAwsIntegration
metadata:
  name: production
spec:
  organizationId: org_BneDtWovPqXaA2VZ
  integrationIdentifier: aws-prod
  accounts: ["$ACCOUNT"]
  oidcProvider:
    deletionPolicy: DeleteIfUnused
  ${1:-}
YAML
}

repositories() {
  git init --quiet --initial-branch=main "$OPERATOR_GIT"
  cp -r charts deploy "$OPERATOR_GIT/"
  commit "$OPERATOR_GIT" "The operator"
  git init --quiet --initial-branch=main "$TEAM_GIT"
  integration
  # Git has no empty folders, and the integration is to leave this one.
  echo "What Port reads." >"$TEAM_GIT/port/README.md"
  commit "$TEAM_GIT" "An integration"
}

# Argo CD looks again at once, as when a forge calls its webhook.
refresh() {
  kubectl annotate application port-aws-integrations --namespace argocd --overwrite argocd.argoproj.io/refresh=normal
}

# team_commits MESSAGE
team_commits() {
  commit "$TEAM_GIT" "$1" && refresh
}

# apply_applications chart|kustomize: what is shipped, all at once, but from repositories that can be reached.
apply_applications() {
  cp -r deploy/argocd "$STATE/applications"
  [ "$1" = chart ] || sed -i 's/- operator\.yaml/- operator-kustomize.yaml/' "$STATE/applications/kustomization.yaml"
  kubectl kustomize "$STATE/applications" | sed "s#https://git.example.com/#file://$STATE/git/#" |
    kubectl apply --filename -
}

# credentials: of the operator's role, with the rights that are shipped, as variables.
credentials() {
  control POST credentials "{\"account\": \"$ACCOUNT\", \"role\": \"port-aws-operator\",
    \"policies\": [$(cat deploy/aws/operator-policy.json)]}" |
    sed -nE 's/.*"accessKeyId": "([^"]+)".*"secretAccessKey": "([^"]+)".*"sessionToken": "([^"]+)".*/\
AWS_ACCESS_KEY_ID=\1\nAWS_SECRET_ACCESS_KEY=\2\nAWS_SESSION_TOKEN=\3/p' | grep .
}

# In the place of a kubelet: one process, with the arguments of the Deployment and the rights of its ServiceAccount.
run_operator() {
  local arguments variables token
  token=$(kubectl create token port-aws-operator --namespace "$NAMESPACE" --duration=2h)
  kubeconfig operator "$token" "$NAMESPACE"
  mapfile -t arguments < <(kubectl get deployment port-aws-operator --namespace "$NAMESPACE" --output \
    'jsonpath={range .spec.template.spec.containers[0].args[*]}{@}{"\n"}{end}')
  mapfile -t variables < <(credentials)
  # Neither tells by its exit code that it failed.
  [ "${arguments[0]}" = run ] && [ "${#variables[@]}" -eq 3 ] || return 1
  start operator env --ignore-environment "${variables[@]}" KUBECONFIG="$STATE/operator.kubeconfig" \
    AWS_ENDPOINT_URL="$BACKEND" AWS_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true \
    "$OPERATOR" "${arguments[@]}"
  until_true 30 "the operator" curl --silent --fail http://127.0.0.1:8081/readyz
}

# What a kubelet would say of the Deployment's Pods once the process is ready.
pods_are_ready() {
  local wanted pods
  wanted=$(kubectl get deployment port-aws-operator --namespace "$NAMESPACE" --output 'jsonpath={.spec.replicas}') &&
    pods=$(kubectl get pods --namespace "$NAMESPACE" --output=name) &&
    [ "$(wc -l <<<"$pods")" = "$wanted" ] || return 1
  # Word by word: a name has no blank.
  # shellcheck disable=SC2086
  kubectl patch --namespace "$NAMESPACE" $pods --subresource=status --patch \
    '{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}'
}

#!/usr/bin/env bash
# What has to hold on the node. Sourced by inside.sh.

CHART=charts/port-aws-operator
NAMESPACE=port-aws-operator

explain() {
  kubectl get pods,events --namespace $NAMESPACE
  kubectl logs --namespace $NAMESPACE --selector app.kubernetes.io/name=port-aws-operator --tail=5 --prefix
}

helm() {
  HOME=$STATE "$HELM" "$@" --namespace $NAMESPACE
}

# is OBJECT JSONPATH VALUE: the field has the value.
is() {
  [ "$(kubectl get --namespace $NAMESPACE "$1" --output "jsonpath={$2}")" = "$3" ]
}

holder() {
  kubectl get lease operator-port-aws-operator --namespace $NAMESPACE --output 'jsonpath={.spec.holderIdentity}'
}

holder_is_not() {
  local now
  now=$(holder)
  [ -n "$now" ] && [ "$now" != "$1" ]
}

integrate() {
  kubectl apply --server-side --filename - <<YAML
apiVersion: integrations.port.io/v1alpha1
kind: PortAwsIntegration
metadata: {name: production, namespace: $NAMESPACE}
spec:
  organizationId: org_BneDtWovPqXaA2VZ
  integrationIdentifier: aws-prod
  accounts: ["111122223333"]
YAML
}

# In the process, not in what was asked for.
runs_as_asked() {
  local pid status
  pid=$(pgrep --full --newest '^/usr/local/bin/port-aws-operator run')
  status=$(cat "/proc/$pid/status")
  for line in 'Uid:.65532.65532' 'Gid:.65532.65532' 'CapEff:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
    grep -E "^$line" <<<"$status" || { echo "not $line: $status"; return 1; }
  done
  grep -E '^[^ ]+ / [^ ]+ ro[, ]' "/proc/$pid/mounts" || { echo "the root is not read-only"; return 1; }
  tr '\0' '\n' <"/proc/$pid/environ" | grep -x MALLOC_ARENA_MAX=1
}

checks() {
  kubectl create namespace $NAMESPACE >/dev/null
  kubectl label namespace $NAMESPACE pod-security.kubernetes.io/enforce=restricted >/dev/null
  # Without AWS the access is never ready, which Helm 4 would wait for at an upgrade.
  local values=(--wait=legacy --timeout 90s --set image.repository=localhost/port-aws-operator --set image.tag=node
    --set access.create=true --set-string 'access.accounts={111122223333}'
    --set 'access.organizationIds={org_BneDtWovPqXaA2VZ}' --set 'extraEnv[0].name=AWS_EC2_METADATA_DISABLED'
    --set-string 'extraEnv[0].value=true')

  check "both replicas become ready, under Pod Security restricted" helm install operator $CHART "${values[@]}"
  name_service $NAMESPACE operator-port-aws-operator
  check "helm test asks the Service by its name" helm test operator --timeout 60s
  check "the process has what was asked for: user, group, no capability, seccomp, a root to read" runs_as_asked
  check "a replica holds the Lease, with its rights alone" until_true 30 "a holder" holder_is_not ""
  check "an integration is taken" integrate
  check "it says that there are no credentials" until_true 60 "the condition Ready" \
    is portawsintegration/production '.status.conditions[?(@.type=="Ready")].status' False
  check "the events are written" until_true 30 "an event" \
    sh -c "'$TOOLS/kubectl' get events.v1.events.k8s.io -n $NAMESPACE | grep portawsintegration"

  local before began=$SECONDS
  before=$(holder)
  check "an upgrade replaces the replicas" helm upgrade operator $CHART "${values[@]}" --set log.level=info\\,kube=debug
  check "the Lease is handed over at once" until_true 30 "another holder" holder_is_not "$before"
  check "within less than the Lease would last" test $((SECONDS - began)) -lt 60

  before=$(holder)
  check "the acting Pod is killed" kubectl delete pod --namespace $NAMESPACE --grace-period=0 --force "${before%_*}"
  check "another replica takes over" until_true 90 "another holder" holder_is_not "$before"
  check "one of them is drained at a time" is poddisruptionbudget/operator-port-aws-operator .spec.maxUnavailable 1

  check "the release is uninstalled" helm uninstall operator --wait --timeout 90s
  check "access and integration stay" kubectl get portawsaccess/default portawsintegration/production \
    --namespace $NAMESPACE
  summary
}

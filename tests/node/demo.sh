#!/usr/bin/env bash
# The demo on a node: the chart's Pods connect an account and mend it. Sourced by inside.sh.

AWS=("$AWS_PYTHON" tests/node/aws.py "$AWS_URL")

title() {
  printf '\n== %s\n\n' "$*"
}

# run COMMAND...: shows a command, and what it prints.
run() {
  printf '  $ %s\n' "$*"
  "$@" 2>&1 | indent
}

# A last line without an end gets one.
indent() {
  awk '{ print "    " $0 }'
}

verified() {
  printf '  ok: %s\n' "$*"
}

role_is() {
  [ "$(role)" = "$1" ]
}

connect() {
  title "1. The first integration, by the commands of $PAGE"
  first_integration | sed 's/^/  $ /; s/^  \$   /      /'
  first_integration >"$STATE/first.sh"
  bash -euo pipefail "$STATE/first.sh" </dev/null 2>&1 | indent
  run kubectl get pods --namespace "$NAMESPACE" --output wide
  verified "Ready, by Pods whose AWS credentials come from their ServiceAccount's token"
}

heal() {
  local before
  before=$(role)
  title "2. Break the role behind the operator's back"
  "${AWS[@]}" attack "$ROLE"
  printf '  in AWS now:\n'
  role | indent
  title "3. Heal it"
  run kubectl annotate portawsintegration production --namespace demo "integrations.port.io/requestedAt=now"
  until_true 30 "the role to be as it was" role_is "$before"
  verified "the role is as it was, with the same ID: it was repaired in place"
  run kubectl get events.v1.events.k8s.io --namespace demo --sort-by .eventTime \
    --output 'custom-columns=REASON:.reason,NOTE:.note'
}

take_over() {
  local before
  before=$(holder)
  title "4. Delete the Pod that acts"
  run kubectl delete pod --namespace "$NAMESPACE" "${before%_*}"
  run kubectl rollout status deployment/port-aws-operator --namespace "$NAMESPACE" --timeout 60s
  run kubectl get lease --namespace "$NAMESPACE"
}

clean_up() {
  title "5. Delete the integration"
  run kubectl delete portawsintegration production --namespace demo --timeout 60s
  ! role >/dev/null 2>&1 || { echo "the role is still there" >&2; return 1; }
  verified "the role is gone from AWS"
}

demo() {
  restrict_namespace
  title "A Kubernetes node, with kubelet and containerd, and an AWS backend, in namespaces of their own"
  run kubectl get nodes --output wide
  connect
  heal
  take_over
  clean_up
}

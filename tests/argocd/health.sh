#!/usr/bin/env bash
# Judges every example in deploy/argocd by Argo CD's own binary, with the ConfigMap that is shipped: each must have
# the health and the message that its health_test.yaml names. No cluster is needed. Of an object that is being
# deleted Argo CD does not ask the script, but always says the same.
#
#   tests/argocd/health.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

argocd=$(hack/build-argocd.sh)/argocd
customizations=deploy/argocd/resource_customizations/integrations.port.io
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What is shipped is a patch, and argocd reads a whole ConfigMap.
{
  printf 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n'
  printf '  labels: {app.kubernetes.io/part-of: argocd}\n'
  grep -v '^#' deploy/argocd/argocd-cm.yaml
} >"$scratch/argocd-cm.yaml"

# examples FILE: status, message and input of each test, with tabs between them.
examples() {
  awk '
    $1 == "status:" { status = $2 }
    $1 == "message:" { sub(/^ *message: */, ""); gsub(/^"|"$/, ""); message = $0 }
    $1 == "inputPath:" { printf "%s\t%s\t%s\n", status, message, $2 }' "$1"
}

passed=0 failed=0
for kind in "$customizations"/*; do
  while IFS=$'\t' read -r status message input; do
    if grep -q '^  deletionTimestamp:' "$kind/$input"; then
      status=Progressing message='Pending deletion'
    fi
    found=$(ARGOCD_BINARY_NAME=argocd "$argocd" admin settings resource-overrides health "$kind/$input" \
      --argocd-cm-path "$scratch/argocd-cm.yaml" 2>"$scratch/log") || found="argocd failed: $(cat "$scratch/log")"
    wanted=$(printf 'STATUS: %s\nMESSAGE: %s' "$status" "$message")
    if [ "$found" = "$wanted" ]; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      printf '%s\nwanted:\n%s\nfound:\n%s\n' "$kind/$input" "$wanted" "$found" >&2
    fi
  done < <(examples "$kind/health_test.yaml")
done
# An empty list of examples is no success.
[ "$passed" -gt 0 ] || failed=$((failed + 1))
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

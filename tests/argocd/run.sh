#!/usr/bin/env bash
# Argo CD itself syncs what deploy/argocd ships, from Git to a role in AWS and back: once with the chart, once with
# the overlay. Each form has an API server, an Argo CD and an AWS of its own, in namespaces of the kernel that end with
# it.
#
#   run.sh OPERATOR   the operator's binary
#
# There is no kubelet: the operator is a process, with the arguments of the Deployment and the rights of its
# ServiceAccount. Nothing outside is reached or changed. KEEP=1 keeps the logs.
#
# Exit code 77: it cannot run here. It needs Linux, root, and Debian's redis-server, git, openssl, curl and iproute2.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
  echo "e2e-argocd: needs Linux, and root" >&2
  exit 77
fi
for program in redis-server git openssl curl unshare ip; do
  command -v "$program" >/dev/null || { echo "e2e-argocd: $program is missing" >&2; exit 77; }
done

OPERATOR=$(realpath "$1")
TOOLS=$(hack/build-tools.sh)
HELM=$(hack/build-helm.sh)
ARGOCD=$(hack/build-argocd.sh)
PYTHON=$(hack/aws-backend-env.sh)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-argocd.XXXXXX")
export OPERATOR TOOLS HELM ARGOCD PYTHON

clean() {
  if [ -n "${KEEP:-}" ]; then echo "logs are kept in $scratch"; else rm -rf "$scratch"; fi
}
trap clean EXIT

passed=0
for form in chart kustomize; do
  echo "=== $form"
  mkdir "$scratch/$form"
  # --kill-child: whatever ends this script ends all that it started.
  STATE=$scratch/$form unshare --net --pid --fork --kill-child --mount-proc bash tests/argocd/inside.sh "$form"
  passed=$((passed + $(cat "$scratch/$form/passed")))
done
printf '%d passed, 0 failed\n' "$passed"

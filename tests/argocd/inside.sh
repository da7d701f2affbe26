#!/usr/bin/env bash
# Inside the namespaces that run.sh makes: starts what is needed, and runs what checks.sh says.
#
#   inside.sh chart|kustomize   which Application has the operator
set -euo pipefail

# shellcheck source=tests/argocd/steps.sh
. tests/argocd/steps.sh
# shellcheck source=tests/argocd/cluster.sh
. tests/argocd/cluster.sh
# shellcheck source=tests/argocd/delivered.sh
. tests/argocd/delivered.sh
# shellcheck source=tests/argocd/checks.sh
. tests/argocd/checks.sh
start_cluster
checks "$1"
echo "$passed" >"$STATE/passed"

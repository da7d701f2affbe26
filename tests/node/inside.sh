#!/usr/bin/env bash
# Inside the namespaces that run.sh makes: starts the cluster, and runs what checks.sh says.
set -euo pipefail

# shellcheck source=tests/node/steps.sh
. tests/node/steps.sh
# shellcheck source=tests/node/cluster.sh
. tests/node/cluster.sh
start_cluster
# shellcheck source=tests/node/checks.sh
. tests/node/checks.sh
checks

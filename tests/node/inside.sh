#!/usr/bin/env bash
# Inside the namespaces that run.sh makes: starts the cluster, and does on it what checks.sh or demo.sh says.
#
#   inside.sh checks|demo
set -euo pipefail

# shellcheck source=tests/support/steps.sh
. tests/support/steps.sh
# shellcheck source=tests/node/cluster.sh
. tests/node/cluster.sh
start_cluster
# shellcheck source=tests/node/first_integration.sh
. tests/node/first_integration.sh
# shellcheck source=/dev/null
. "tests/node/$1.sh"
"$1"

#!/usr/bin/env bash
# Checks the workflows in .github, and every shell script: actionlint for what GitHub would refuse, zizmor for what an
# attacker could use, shellcheck for the shell, that in workflows too. Asks nobody on the network.
set -euo pipefail
cd "$(dirname "$0")/.."

actionlint=$(hack/build-actionlint.sh)
tools=$(dirname "$(hack/lint-workflows-env.sh)")

"$actionlint" -shellcheck "$tools/shellcheck"
"$tools/zizmor" --offline --no-progress --quiet --persona pedantic .github

# Also those whose name does not end in .sh.
mapfile -d '' -t scripts < <(git grep -lz -E '^#!.*\bbash$' -- .ci hack tests)
"$tools/shellcheck" --external-sources "${scripts[@]}"

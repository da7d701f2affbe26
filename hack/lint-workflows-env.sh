#!/usr/bin/env bash
# Prints the path of a Python beside which zizmor and shellcheck are; see python-env.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python-env.sh" lint-workflows "$here/lint-workflows/requirements.txt"

#!/usr/bin/env bash
# Prints the path of a Python that has what checks deploy/aws; see python-env.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python-env.sh" lint-aws "$here/../hack/lint-aws/requirements.txt"

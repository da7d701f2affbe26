#!/usr/bin/env bash
# Prints the path of a Python that has what tests/aws-backend needs; see python-env.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python-env.sh" aws-backend "$here/../tests/aws-backend/requirements.txt"

#!/usr/bin/env bash
# Prints the path of a Python that has the AWS command line, as the module awscli; see python-env.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python-env.sh" aws-cli "$here/aws-cli/requirements.txt"

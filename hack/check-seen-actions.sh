#!/usr/bin/env bash
# Fails if the published IAM policies allow an action that the operator never took in the end-to-end
# tests: nobody has shown that it is needed. (What they do not allow, the AWS backend refuses.)
#
#   check-seen-actions.sh OPERATOR FILE   the operator's binary, and the actions that were taken
set -euo pipefail

operator=$1 seen=$2

unseen=$(comm -23 <("$operator" policies --actions | sort) <(sort -u "$seen"))
if [ -n "$unseen" ]; then
  printf 'allowed by the published IAM policies, and taken in no end-to-end test:\n%s\n' "$unseen" >&2
  exit 1
fi

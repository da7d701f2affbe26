#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version, which is the text of its release.
#
#   notes.sh VERSION
#
#   ROOT   the repository (default: the one that this script is in)
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: notes.sh VERSION" >&2; exit 2; }
changelog=${ROOT:-$(dirname "${BASH_SOURCE[0]}")/../..}/CHANGELOG.md

# From the version's heading to the next one, or to the links at the end. Blank lines are kept between lines only.
notes=$(awk -v heading="## [$1]" '
  /^## / || /^\[[^]]+\]: / { inside = index($0, heading) == 1; next }
  inside && NF { printf "%s%s\n", blank, $0; blank = ""; seen = 1 }
  inside && !NF && seen { blank = "\n" }' "$changelog")
[ -n "$notes" ] || { printf 'notes: CHANGELOG.md says nothing of %s\n' "$1" >&2; exit 1; }
printf '%s\n' "$notes"

#!/usr/bin/env bash
# Prints the version of the release, and fails unless every file that states it agrees: Cargo.toml, Cargo.lock, the
# chart, and with a tag the tag and the changelog.
#
#   version.sh [TAG]   TAG is vX.Y.Z, or vX.Y.Z-rc.1
#
#   ROOT   the repository (default: the one that this script is in)
set -euo pipefail

fail() {
  printf 'version: %s\n' "$*" >&2
  exit 1
}

[ $# -le 1 ] || { echo "usage: version.sh [TAG]" >&2; exit 2; }
cd "${ROOT:-$(dirname "${BASH_SOURCE[0]}")/../..}"

# The first value of KEY in the section [NAME] of Cargo.toml.
manifest_value() {
  awk -v section="[$1]" -v key="$2" '
    /^\[/ { inside = $0 == section }
    inside && $1 == key { gsub(/"/, "", $3); print $3; exit }' Cargo.toml
}

version=$(manifest_value workspace.package version)
# Build metadata is left out: a tag of an image cannot have a plus sign.
[[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$ ]] ||
  fail "Cargo.toml: '$version' is no version"

# agree NAME FOUND
agree() {
  [ "$2" = "$version" ] || fail "$1 has '$2', Cargo.toml has '$version'"
}

agree Cargo.lock "$(awk '
  $1 == "name" { found = $3 == "\"port-aws-operator\"" }
  found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock)"
for key in version appVersion; do
  agree "$key in Chart.yaml" "$(awk -v key="$key:" '
    $1 == key { gsub(/"/, "", $2); print $2; exit }' charts/port-aws-operator/Chart.yaml)"
done

if [ $# -eq 1 ]; then
  [[ $1 == v* ]] || fail "the tag '$1' does not start with v"
  agree "the tag $1" "${1#v}"
  grep -qE "^## \[${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
    fail "CHANGELOG.md has no dated heading for $version"
fi
printf '%s\n' "$version"

#!/usr/bin/env bash
# Writes what the binary of each platform is made of, from Cargo.lock, as CycloneDX, with cargo-cyclonedx, which it
# installs once. What only builds or tests is left out.
#
#   sbom.sh FOLDER
#
#   PORT_AWS_OPERATOR_CACHE   where to keep cargo-cyclonedx (default: ~/.cache/port-aws-operator)
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: sbom.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(hack/release/version.sh)

tool=0.5.9
root=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}/cargo-cyclonedx-$tool
if [ ! -x "$root/bin/cargo-cyclonedx" ]; then
  printf 'building cargo-cyclonedx, about 2 minutes the first time\n' >&2
  cargo install --quiet --locked --root "$root" "cargo-cyclonedx@$tool"
fi

# It writes beside each Cargo.toml: into a copy, not into the work tree.
work=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-sbom.XXXXXX")
trap 'rm -rf "$work"' EXIT
git ls-files -z -- src benches tests '*Cargo.toml' Cargo.lock | xargs -0 cp --parents --target-directory "$work"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

for platform in amd64:x86_64 arm64:aarch64; do
  (cd "$work" && "$root/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
    --target "${platform#*:}-unknown-linux-gnu" --override-filename sbom)
  # Where this was made is nobody's business, and changes.
  sed "s#file://$work#file:///src#g" "$work/sbom.json" \
    >"$folder/port-aws-operator-$version-linux-${platform%:*}.cdx.json"
done

#!/usr/bin/env bash
# Packs the binary of one platform with the licence. The same commit and binary give the same bytes.
#
#   archive.sh BINARY ARCHITECTURE FOLDER   ARCHITECTURE as Go and OCI call it: amd64 or arm64
#
#   SOURCE_DATE_EPOCH   the time of the files (default: that of the commit)
set -euo pipefail

[ $# -eq 3 ] || { echo "usage: archive.sh BINARY ARCHITECTURE FOLDER" >&2; exit 2; }
binary=$(realpath "$1") architecture=$2
mkdir -p "$3"
folder=$(realpath "$3")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(hack/release/version.sh)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

# The architecture is in the ELF header, at byte 18: a wrong one would only show on a user's machine.
case $architecture in
  amd64) wanted=3e00 ;;
  arm64) wanted=b700 ;;
  *) printf 'archive: no architecture of ours: %s\n' "$architecture" >&2; exit 2 ;;
esac
found=$(od -An -tx1 -j18 -N2 "$binary" | tr -d ' \n')
[ "$found" = "$wanted" ] || { printf 'archive: %s is not for %s\n' "$binary" "$architecture" >&2; exit 1; }

name=port-aws-operator-$version-linux-$architecture
work=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
install -D -m 755 "$binary" "$work/$name/port-aws-operator"
install -m 644 LICENSE "$work/$name/LICENSE"
tar --create --directory "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
  --format=ustar "$name" |
  gzip --best --no-name >"$folder/$name.tar.gz"

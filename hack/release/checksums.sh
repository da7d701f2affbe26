#!/usr/bin/env bash
# Writes SHA256SUMS for all files of a folder, which `sha256sum --check SHA256SUMS` reads there.
#
#   checksums.sh FOLDER
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: checksums.sh FOLDER" >&2; exit 2; }
cd "$1"
# A list left from before is not one of the files.
rm -f SHA256SUMS
files=$(find . -mindepth 1 -maxdepth 1 -type f -printf '%f\n' | LC_ALL=C sort)
[ -n "$files" ] || { echo "checksums: $1 has no file" >&2; exit 1; }
xargs --delimiter='\n' sha256sum -- <<<"$files" >SHA256SUMS

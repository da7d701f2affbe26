#!/usr/bin/env bash
# Builds the image from a binary that is there, with buildah and no daemon, and writes it as an OCI archive.
#
#   image.sh BINARY ARCHIVE
#
#   IMAGE   the name in the archive (default: localhost/port-aws-operator:VERSION)
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: image.sh BINARY ARCHIVE" >&2; exit 2; }
binary=$(realpath "$1")
mkdir -p "$(dirname "$2")"
archive=$(realpath -m "$2")
cd "$(dirname "$0")/.."

command -v buildah >/dev/null 2>&1 || { echo "image: buildah is needed (on Debian: apt-get install buildah)" >&2; exit 1; }

version=$("$binary" --version | awk '{ print $2 }')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# The time of the commit, so that the same commit gives the same image.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

work=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
hack/image-root.sh "$binary" "$work/context/root"

# Needs neither a mount nor a namespace that a container may lack.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
storage=(--root "$work/storage" --runroot "$work/run")
image=${IMAGE:-localhost/port-aws-operator:$version}
buildah "${storage[@]}" build --quiet --file Dockerfile --target prebuilt --timestamp "$epoch" --tag "$image" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" \
  --build-arg CREATED="$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)" "$work/context" >/dev/null
rm -f "$archive"
buildah "${storage[@]}" push --quiet "$image" "oci-archive:$archive:$image"
printf '%s: %s, %s bytes\n' "$archive" "$image" "$(stat -c %s "$archive")"

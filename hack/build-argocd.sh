#!/usr/bin/env bash
# Prints the folder that holds argocd, with which what is in deploy/argocd is tried, and what the same version brings
# along to run: its kinds and its configuration (manifests), and the scripts that it calls (hack).
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The version is pinned by tests/argocd/go.mod and go.sum, whose hash, with that of this script, names the folder.
#
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

fail() {
  printf 'build-argocd: %s\n' "$*" >&2
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/argocd" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$module/go.mod" "$module/go.sum" "${BASH_SOURCE[0]}" | sha256)
final=$cache/argocd-${pin:0:16}

if [ -x "$final/argocd" ]; then
  printf '%s\n' "$final"
  exit 0
fi
command -v go >/dev/null 2>&1 || fail "Go is needed to build argocd, and there is no 'go' in PATH"
mkdir -p "$cache"
# One build at a time: a second caller waits and then finds the folder ready.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$final.lock"
  flock 9
fi
if [ ! -x "$final/argocd" ]; then
  partial=$(mktemp -d "$final.partial.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  argocd=github.com/argoproj/argo-cd/v3
  version=$(awk -v path="$argocd" '$1 == path && $2 ~ /^v/ { print $2; exit }
    $1 == "require" && $2 == path { print $3; exit }' "$module/go.mod")
  [ -n "$version" ] || fail "no version of Argo CD in $module/go.mod"
  printf 'building argocd %s, about 4 minutes the first time\n' "$version" >&2
  # GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
  (cd "$module" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -o "$partial/argocd" \
    -ldflags "-s -w -X $argocd/common.version=${version#v}" "$argocd/cmd" >&2 9>&-)
  source=$(cd "$module" && GOTOOLCHAIN=local go list -m -f '{{.Dir}}' "$argocd")
  mkdir "$partial/manifests" "$partial/hack"
  cp "$source"/manifests/crds/*-crd.yaml "$source"/manifests/base/config/argocd-{cm,rbac-cm,secret}.yaml \
    "$partial/manifests/"
  # Modules come without the right to execute, and only for reading.
  install -m 755 "$source"/hack/{git-verify,gpg}-wrapper.sh "$partial/hack/"
  chmod -R u+w "$partial/manifests"
  chmod 755 "$partial"
  # One rename, so that nobody ever sees half a folder. If another caller was faster, its folder is as good.
  [ -d "$final" ] || mv "$partial" "$final"
fi
printf '%s\n' "$final"

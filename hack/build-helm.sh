#!/usr/bin/env bash
# Prints the folder that holds helm3 and helm4, with which the chart is rendered and installed in tests.
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The versions are pinned by tests/helm/go.mod and go.sum, whose hash, with that of this script, names the folder.
#
#   HELM_TOOLS                a folder with ready binaries: used as it is
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

fail() {
  printf 'build-helm: %s\n' "$*" >&2
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

is_ready() {
  [ -x "$1/helm3" ] && [ -x "$1/helm4" ]
}

if [ -n "${HELM_TOOLS:-}" ]; then
  is_ready "$HELM_TOOLS" || fail "HELM_TOOLS: no helm3 and helm4 in $HELM_TOOLS"
  printf '%s\n' "$HELM_TOOLS"
  exit 0
fi

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/helm" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$module/go.mod" "$module/go.sum" "${BASH_SOURCE[0]}" | sha256)
final=$cache/helm-${pin:0:16}

if is_ready "$final"; then
  printf '%s\n' "$final"
  exit 0
fi
command -v go >/dev/null 2>&1 || fail "Go is needed to build helm, and there is no 'go' in PATH"
mkdir -p "$cache"
# One build at a time: a second caller waits and then finds the folder ready.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$final.lock"
  flock 9
fi
if ! is_ready "$final"; then
  partial=$(mktemp -d "$final.partial.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  for major in 3 4; do
    printf 'building helm %s, about 2 minutes the first time\n' "$major" >&2
    version=$(awk -v path="helm.sh/helm/v$major" '$1 == path { print $2; exit }' "$module/go.mod")
    [ -n "$version" ] || fail "no version of Helm $major in $module/go.mod"
    # Without a cluster, Helm 3 takes the version of Kubernetes that its release stamps; Helm 4 sees it itself.
    client=$(awk '$1 == "k8s.io/client-go" { print $2; exit }' "$module/go.mod")
    IFS=. read -r _ minor _ <<<"$client"
    stamp=
    for package in chartutil lint/rules; do
      stamp+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1"
      stamp+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$minor"
    done
    # GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
    (cd "$module" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -o "$partial/helm$major" \
      -ldflags "-s -w -X helm.sh/helm/v$major/internal/version.version=$version$stamp" \
      "helm.sh/helm/v$major/cmd/helm" >&2 9>&-)
  done
  chmod 755 "$partial"
  [ ! -d "$final" ] || rm -rf "$final"
  # One rename, so that nobody ever sees half a folder. If another caller was faster, its folder is as good.
  [ -d "$final" ] || mv "$partial" "$final"
fi
printf '%s\n' "$final"

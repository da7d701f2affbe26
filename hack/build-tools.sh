#!/usr/bin/env bash
# Prints the folder that holds etcd, kube-apiserver, kube-controller-manager and kubectl.
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The versions are pinned by tests/tools/go.mod and go.sum, whose hash names the folder, so
# a changed pin builds anew and an unchanged one costs milliseconds.
#
#   KUBEBUILDER_ASSETS        a folder with ready binaries: used as it is
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

fail() {
  printf 'build-tools: %s\n' "$*" >&2
  exit 1
}

has_tools() {
  local folder=$1 tool
  shift
  for tool in "$@"; do
    [ -x "$folder/$tool" ] || return 1
  done
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && has_tools "$KUBEBUILDER_ASSETS" etcd kube-apiserver kubectl; then
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/tools" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$module/go.mod" "$module/go.sum" | sha256)
final=$cache/tools-${pin:0:16}
tools=(etcd kube-apiserver kube-controller-manager kubectl)

if has_tools "$final" "${tools[@]}"; then
  printf '%s\n' "$final"
  exit 0
fi

wanted=$(awk '$1 == "go" { print $2; exit }' "$module/go.mod")
command -v go >/dev/null 2>&1 ||
  fail "Go $wanted or newer is needed to build the control-plane tools, and there is no 'go' in PATH"
# GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
export GOTOOLCHAIN=local
# Asked outside the module: inside it, a Go that is too old refuses to say its version.
found=$(cd / && go env GOVERSION)
found=${found#go}
oldest=$(printf '%s\n%s\n' "$wanted" "${found%%[- ]*}" | sort -V | head -n 1)
[ "$oldest" = "$wanted" ] ||
  fail "Go $wanted or newer is needed to build the control-plane tools, and 'go' is $found"

mkdir -p "$cache"
# One build at a time: a second caller waits and then finds the folder ready.
# Where there is no flock(1) both build, and the first one wins.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$final.lock"
  flock 9
  if has_tools "$final" "${tools[@]}"; then
    printf '%s\n' "$final"
    exit 0
  fi
fi

partial=$(mktemp -d "$final.partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT

# kubectl refuses to run unless its version parses, and the module build stamps none.
kubernetes=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$module/go.mod")
[ -n "$kubernetes" ] || fail "no version of k8s.io/kubernetes in $module/go.mod"
IFS=. read -r major minor _ <<<"${kubernetes#v}"
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"

count=0
build() {
  local name=$1 package=$2 time=$3
  count=$((count + 1))
  printf 'building %s (%d of %d), about %s the first time\n' "$name" "$count" "${#tools[@]}" "$time" >&2
  (cd "$module" && CGO_ENABLED=0 go build -o "$partial/$name" -ldflags "$ldflags" "$package" >&2 9>&-)
}

build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "3 minutes"
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager "2 minutes"
build kubectl k8s.io/kubernetes/cmd/kubectl "1 minute"
build etcd go.etcd.io/etcd/server/v3 "1 minute"

chmod 755 "$partial"
if [ -d "$final" ] && ! has_tools "$final" "${tools[@]}"; then
  rm -rf "$final"
fi
# One rename, so that nobody ever sees half a folder. If another caller was faster, its
# folder is as good as ours.
if [ ! -d "$final" ]; then
  mv "$partial" "$final"
fi
has_tools "$final" "${tools[@]}" || fail "$final is not complete"
printf '%s\n' "$final"

#!/usr/bin/env bash
# Prints the folder that holds kubelet, kube-scheduler, kube-proxy, pause, and the kinds of the Prometheus operator,
# for the tests on a node.
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The versions are pinned by tests/node/go.mod and go.sum, whose hash, with that of this script, names the folder.
#
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

tools=(kubelet kube-scheduler kube-proxy)
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/node" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$source_folder"/{go.mod,go.sum,pause.c,monitoring/go.mod,monitoring/go.sum} "${BASH_SOURCE[0]}" | sha256sum)
final=$cache/node-${pin:0:16}

if [ ! -d "$final" ]; then
  command -v go >/dev/null 2>&1 || { echo "build-node: Go is needed, and there is no 'go' in PATH" >&2; exit 1; }
  mkdir -p "$cache"
  partial=$(mktemp -d "$final.partial.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  # The kubelet refuses to run unless its version parses, and the module build stamps none.
  version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$source_folder/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  stamp=k8s.io/component-base/version
  for tool in "${tools[@]}"; do
    printf 'building %s, about 2 minutes the first time\n' "$tool" >&2
    # GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
    (cd "$source_folder" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -o "$partial/$tool" -ldflags \
      "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" \
      "k8s.io/kubernetes/cmd/$tool" >&2)
  done
  cc -static -Os -o "$partial/pause" "$source_folder/pause.c"
  module=$(cd "$source_folder/monitoring" && GOTOOLCHAIN=local go mod download -json \
    github.com/prometheus-operator/prometheus-operator | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  install -D -m 644 -t "$partial/monitoring" \
    "$module"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml
  chmod 755 "$partial"
  # One rename, so that nobody ever sees half a folder. If another caller was faster, its folder is as good.
  [ -d "$final" ] || mv "$partial" "$final"
fi
printf '%s\n' "$final"

#!/usr/bin/env bash
# Prints the path of promtool, which checks and tests Prometheus rules.
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The version is pinned by tests/promtool/go.mod and go.sum, whose hash names the folder. It is a
# Go module of its own, because the control plane's pins other versions of the same libraries.
#
#   PROMTOOL                  a ready binary: used as it is
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

fail() {
  printf 'build-promtool: %s\n' "$*" >&2
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

if [ -n "${PROMTOOL:-}" ]; then
  printf '%s\n' "$PROMTOOL"
  exit 0
fi

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/promtool" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$module/go.mod" "$module/go.sum" | sha256)
final=$cache/promtool-${pin:0:16}

if [ ! -x "$final" ]; then
  command -v go >/dev/null 2>&1 || fail "Go is needed to build promtool, and there is no 'go' in PATH"
  mkdir -p "$cache"
  partial=$(mktemp "$final.partial.XXXXXX")
  trap 'rm -f "$partial"' EXIT
  printf 'building promtool, about 2 minutes the first time\n' >&2
  # Without service discovery, which is most of it and of no use here.
  # GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
  (cd "$module" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -tags remove_all_sd -ldflags "-s -w" -o "$partial" \
    github.com/prometheus/prometheus/cmd/promtool >&2)
  chmod 755 "$partial"
  # One rename, so that nobody ever sees half a file.
  mv "$partial" "$final"
fi
printf '%s\n' "$final"

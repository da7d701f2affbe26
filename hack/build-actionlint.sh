#!/usr/bin/env bash
# Prints the path of actionlint, which checks the workflows in .github.
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The version is pinned by hack/actionlint/go.mod and go.sum, whose hash names the file.
#
#   ACTIONLINT                a ready binary: used as it is
#   PORT_AWS_OPERATOR_CACHE   where to keep what is built (default: ~/.cache/port-aws-operator)
set -euo pipefail

if [ -n "${ACTIONLINT:-}" ]; then
  printf '%s\n' "$ACTIONLINT"
  exit 0
fi

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/actionlint" && pwd)
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(cat "$module/go.mod" "$module/go.sum" | sha256sum)
final=$cache/actionlint-${pin:0:16}

if [ ! -x "$final" ]; then
  command -v go >/dev/null 2>&1 || { echo "build-actionlint: Go is needed, and there is no 'go' in PATH" >&2; exit 1; }
  mkdir -p "$cache"
  partial=$(mktemp "$final.partial.XXXXXX")
  trap 'rm -f "$partial"' EXIT
  printf 'building actionlint, some seconds the first time\n' >&2
  # GOTOOLCHAIN=local: an old Go would otherwise download a newer one without a word.
  (cd "$module" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -ldflags "-s -w" -o "$partial" \
    github.com/rhysd/actionlint/cmd/actionlint >&2)
  chmod 755 "$partial"
  # One rename, so that nobody ever sees half a file.
  mv "$partial" "$final"
fi
printf '%s\n' "$final"

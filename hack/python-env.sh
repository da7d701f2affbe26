#!/usr/bin/env bash
# Prints the path of a Python that has what a requirements.txt pins.
#
#   python-env.sh NAME REQUIREMENTS   NAME is part of the environment's, and tells what it is for
#
# Standard output carries that one line and nothing else; progress goes to standard error.
# The hash of the file names the virtual environment, so a changed pin makes a new one and an
# unchanged one costs milliseconds.
#
#   PORT_AWS_OPERATOR_CACHE   where to keep what is made (default: ~/.cache/port-aws-operator)
set -euo pipefail

fail() {
  printf 'python-env: %s\n' "$*" >&2
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

# Written last. The link to the Python that it was made with may have broken since.
is_ready() {
  [ -e "$1/ready" ] && [ -x "$1/bin/python" ]
}

name=$1 requirements=$2
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
pin=$(sha256 <"$requirements")
final=$cache/$name-${pin:0:16}
python=$final/bin/python

if is_ready "$final"; then
  printf '%s\n' "$python"
  exit 0
fi

needed='Python 3.10 or newer with the modules venv and ensurepip is needed'
command -v python3 >/dev/null 2>&1 || fail "$needed, and there is no 'python3' in PATH"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "$needed, and 'python3' is $(python3 --version 2>&1)"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
  fail "$needed; 'python3' lacks one of them (Debian and Ubuntu have them in python3-venv)"

mkdir -p "$cache"
# One at a time: a second caller waits and then finds the folder ready.
# Where there is no flock(1) both work, and the first one wins.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$final.lock"
  flock 9
  if is_ready "$final"; then
    printf '%s\n' "$python"
    exit 0
  fi
fi

partial=$(mktemp -d "$final.partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT

printf 'making the Python environment %s, about half a minute the first time\n' "$name" >&2
python3 -m venv "$partial" >&2 9>&-
"$partial/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --require-hashes -r "$requirements" >&2 9>&-
touch "$partial/ready"

chmod 755 "$partial"
if [ -d "$final" ] && ! is_ready "$final"; then
  rm -rf "$final"
fi
# One rename, so that nobody ever sees half a folder; 'python' finds its packages wherever it is.
# If another caller was faster, its folder is as good as ours.
if [ ! -d "$final" ]; then
  mv "$partial" "$final"
fi
is_ready "$final" || fail "$final is not complete"
printf '%s\n' "$python"

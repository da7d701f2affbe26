#!/usr/bin/env bash
# Names every prerequisite that is missing or too old, with the version that is needed, before
# anything is built. Exits with 1 if there is one.
set -euo pipefail

missing=0

# need NAME FOUND WANTED HINT: FOUND is the version found, empty if there is none.
need() {
  local name=$1 found=$2 wanted=$3 hint=$4
  if [ -z "$found" ]; then
    echo "missing: $name $wanted or newer ($hint)" >&2
    missing=1
  elif [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "too old: $name $found, $wanted or newer is needed ($hint)" >&2
    missing=1
  fi
}

# first_version COMMAND...: the first version number in what the command prints, if it runs.
first_version() {
  { "$@" 2>/dev/null || true; } | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1 || true
}

if [ "$(uname -s)" != Linux ]; then
  echo "missing: Linux (the control plane and the AWS backend are run there; elsewhere use a Linux VM)" >&2
  missing=1
fi
need cargo "$(first_version cargo --version)" 1.95.0 "Rust, https://rustup.rs"
cc=$(first_version cc -dumpfullversion)
# clang knows the short option alone.
need "C compiler" "${cc:-$(first_version cc -dumpversion)}" 9.0 "for the TLS library; gcc or clang"
need python3 "$(first_version python3 --version)" 3.10 "for the AWS backend"
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  echo "missing: python3's venv module (on Debian: python3-venv)" >&2
  missing=1
fi
if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
  need go "$(first_version go version)" 1.26.0 "builds the control plane; or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl"
fi
exit "$missing"

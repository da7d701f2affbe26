#!/usr/bin/env bash
# Replays what the Dockerfile does before it compiles the dependencies, with the files of the build's context alone, and
# fails if cargo then does not find all that it reads. Also that the builder has the version of rust-toolchain.toml.
# Needs no container engine, and compiles nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'check-dockerfile: %s\n' "$*" >&2
  exit 1
}

channel=$(sed -nE 's/^channel = "(.*)"$/\1/p' rust-toolchain.toml)
grep -qE "^ARG RUST_IMAGE=[^ :]+:${channel//./\\.}-[^ @]+@sha256:[0-9a-f]{64}$" Dockerfile ||
  fail "RUST_IMAGE is not Rust $channel, pinned by digest"

work=$(mktemp -d "${TMPDIR:-/tmp}/check-dockerfile.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$PWD

# One line for each instruction of the stage 'build', up to the first one that compiles.
instructions=$(sed -e ':join' -e '/\\$/{N; s/ *\\\n */ /; b join' -e '}' Dockerfile |
  awk '/^FROM / { inside = $NF == "build"; next } inside { print } inside && /cargo build/ { exit }')
grep -q '^RUN .* && cargo build ' <<<"$instructions" || fail "no step that makes empty sources and compiles"

while read -r instruction arguments; do
  case $instruction in
    COPY)
      read -ra words <<<"$arguments"
      target=$work/${words[-1]}
      for source in "${words[@]:0:${#words[@]}-1}"; do
        # The context has what .dockerignore lets in again after '*'.
        grep -qxF "!$source" .dockerignore || fail ".dockerignore keeps $source out"
        mkdir -p "$(dirname "$target")"
        cp "$root/$source" "$target"
      done
      ;;
    RUN) (cd "$work" && bash -euc "$arguments") ;;
  esac
done < <(sed -E 's/^(RUN .*) && cargo build .*/\1/' <<<"$instructions")

# As the image does, from Cargo.lock as it is.
(cd "$work" && cargo metadata --locked --format-version 1 >/dev/null) ||
  fail "cargo does not find what it needs in the context of the image"

#!/usr/bin/env bash
# Fuzzes what reads text of others, guided by coverage. Takes a nightly toolchain and cargo-fuzz, which it installs.
#
# Usage: hack/fuzz.sh SECONDS [TARGET...]
#
# What was found to be interesting is kept in target/fuzz, and a text that breaks a rule as well.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { sed -n 's/^# Usage/usage/p' "$0" >&2; exit 2; }
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(policy resources)

rustup run nightly rustc --version >/dev/null 2>&1 || {
  printf 'fuzz: a nightly toolchain is needed: rustup toolchain install nightly\n' >&2
  exit 1
}
cache=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}
PATH=$cache/cargo/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --locked --root "$cache/cargo" cargo-fuzz@0.13.2

for target in "${targets[@]}"; do
  found=target/fuzz/found/$target
  mkdir -p "$found"
  # No sanitizer: no code of our own is unsafe, and what is looked for are panics.
  cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none "$target" \
    "$found" "tests/fuzz/seeds/$target" -- -max_total_time="$seconds" -artifact_prefix="$found-" -print_final_stats=1
done

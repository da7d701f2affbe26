#!/usr/bin/env bash
# Checks licences, versions and sources of every crate by deny.toml, with cargo-deny, which it installs once.
#
#   deny.sh [CHECK...]   default: bans licenses sources. advisories fetches the RustSec database.
#
#   PORT_AWS_OPERATOR_CACHE   where to keep cargo-deny (default: ~/.cache/port-aws-operator)
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(bans licenses sources)

root=${PORT_AWS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/port-aws-operator}/cargo-deny-$version
if [ ! -x "$root/bin/cargo-deny" ]; then
  printf 'building cargo-deny, about 4 minutes the first time\n' >&2
  cargo install --quiet --locked --root "$root" "cargo-deny@$version"
fi
# Duplicates are for people to look at, and would bury what failed; 'deny.sh bans' shows them.
level=error
[ "${checks[*]}" != bans ] || level=warn
exec "$root/bin/cargo-deny" --locked --log-level "$level" check "${checks[@]}"

#!/usr/bin/env bash
# Tests of the scripts in this folder, in a folder of their own. Needs Helm (hack/build-helm.sh) and no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-release.XXXXXX")
trap 'rm -rf "$work"' EXIT
release=$PWD/hack/release
failed=0 passed=0

# check NAME COMMAND...: the command has to succeed.
check() {
  local name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$name"
    sed 's/^/  /' "$work/output"
  fi
}

# refused NAME TEXT COMMAND...: the command has to fail, and to say TEXT.
refused() {
  local name=$1 text=$2
  shift 2
  check "$name" says_no "$text" "$@"
}
says_no() {
  local text=$1 said
  shift
  if said=$("$@" 2>&1); then
    printf 'it succeeded, and printed: %s\n' "$said"
    return 1
  fi
  [[ $said == *"$text"* ]] || { printf 'expected "%s", and it said: %s\n' "$text" "$said"; return 1; }
}

same() {
  [ "$1" = "$2" ] || { printf 'expected: %s\nfound:    %s\n' "$2" "$1"; return 1; }
}

# A repository of version 1.2.3, with what the scripts read of it.
tree() {
  local root=$work/tree
  rm -rf "$root"
  mkdir -p "$root/charts/port-aws-operator"
  printf '[workspace.package]\nedition = "2024"\nversion = "1.2.3"\n\n[package]\nversion.workspace = true\n' \
    >"$root/Cargo.toml"
  printf '[[package]]\nname = "other"\nversion = "9.9.9"\n\n[[package]]\nname = "port-aws-operator"\nversion = "1.2.3"\n' \
    >"$root/Cargo.lock"
  printf 'apiVersion: v2\nversion: 1.2.3\nappVersion: 1.2.3\n' >"$root/charts/port-aws-operator/Chart.yaml"
  printf '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- A thing.\n\n## [1.2.2] - 2026-01-01\n\n- Old.\n\n[1.2.3]: link\n' \
    >"$root/CHANGELOG.md"
}
# shellcheck disable=SC2120 # check and refused call it with arguments.
version() { ROOT=$work/tree "$release/version.sh" "$@"; }
# edit FILE EXPRESSION
edit() { sed -i "$2" "$work/tree/$1"; }

tree
# shellcheck disable=SC2119
check "the version" same "$(version)" 1.2.3
check "a tag that agrees" version v1.2.3
refused "a tag of another version" "the tag v1.2.4 has '1.2.4'" version v1.2.4
refused "a tag without v" "does not start with v" version 1.2.3
refused "a tag with more behind" "the tag v1.2.3.4" version v1.2.3.4
edit Cargo.lock 's/1.2.3/1.2.2/'
refused "a stale Cargo.lock" "Cargo.lock has '1.2.2'" version
tree
edit charts/port-aws-operator/Chart.yaml 's/^version: .*/version: 1.2.4/'
refused "a chart of another version" "version in Chart.yaml has '1.2.4'" version
tree
edit charts/port-aws-operator/Chart.yaml 's/^appVersion: .*/appVersion: 1.2.4/'
refused "a chart for another version" "appVersion in Chart.yaml has '1.2.4'" version
tree
edit CHANGELOG.md 's/ - 2026-01-02/ - unreleased/'
check "without a tag the changelog may be open" version
refused "a tag before the changelog has its date" "no dated heading for 1.2.3" version v1.2.3
tree
edit CHANGELOG.md 's/1\.2\.3/1x2x3/'
refused "a heading that only looks like it" "no dated heading" version v1.2.3
tree
edit Cargo.toml 's/1.2.3/1.2.3+build/'
refused "build metadata" "is no version" version

tree
notes() { ROOT=$work/tree "$release/notes.sh" "$@"; }
check "notes of a version" same "$(notes 1.2.3)" $'### Added\n\n- A thing.'
check "notes of the last version" same "$(notes 1.2.2)" "- Old."
refused "notes of no version" "says nothing of 1.2.9" notes 1.2.9
check "the files of this repository agree" "$release/version.sh"
check "the changelog has notes for this version" "$release/notes.sh" "$("$release/version.sh")"

# Two programs that differ in the architecture that the header names.
program() { printf '\x7fELF\x02\x01\x01%09d\x02\x00%b%032d' 0 "$2" 0 >"$work/$1"; }
program amd64 '\x3e\x00'
program arm64 '\xb7\x00'
actual=$("$release/version.sh")
archive=port-aws-operator-$actual-linux-amd64
check "an archive" "$release/archive.sh" "$work/amd64" amd64 "$work/first"
check "an archive for arm64" "$release/archive.sh" "$work/arm64" arm64 "$work/first"
touch -d 2001-01-01 "$work/amd64"
check "the archive again, later" env TZ=Asia/Tokyo "$release/archive.sh" "$work/amd64" amd64 "$work/second"
check "the same bytes" cmp "$work/first/$archive.tar.gz" "$work/second/$archive.tar.gz"
check "its files" same "$(tar -tzf "$work/first/$archive.tar.gz")" \
  "$archive/"$'\n'"$archive/LICENSE"$'\n'"$archive/port-aws-operator"
check "it runs as it is" grep -qE '^-rwxr-xr-x 0/0 .*/port-aws-operator$' \
  <(tar -tvzf "$work/first/$archive.tar.gz" --numeric-owner)
refused "a binary of another architecture" "is not for arm64" "$release/archive.sh" "$work/amd64" arm64 "$work/third"
refused "an architecture that is not released" "no architecture of ours" \
  "$release/archive.sh" "$work/amd64" riscv64 "$work/third"
check "nothing was written" [ -z "$(ls -A "$work/third")" ]

image=registry.example.com/team/port-aws-operator
digest=sha256:$(printf '%064d' 7)
check "the package" "$release/package.sh" "$image" "$digest" "$work/package"
check "its files" same "$(cd "$work/package" && echo *)" "crds.yaml install.yaml port-aws-operator-$actual.tgz"
values=$(tar -xzOf "$work/package/port-aws-operator-$actual.tgz" port-aws-operator/values.yaml)
check "the chart names the image" same \
  "$(sed -n '/^image:/,/^imagePull/p' <<<"$values" | grep -vE '#|pull|^image' | tr -s ' \n' ' ')" \
  " repository: $image tag: \"$actual\" digest: $digest "
check "the chart asks for no image of one's own" same \
  "$(tar -xzOf "$work/package/port-aws-operator-$actual.tgz" | grep -cE 'No public registry|--set image.repository=registry')" 0
check "install.yaml names the image once" same \
  "$(grep -c "image: $image:$actual@$digest" "$work/package/install.yaml")" 1
check "install.yaml has no way left to name another" same \
  "$(grep -cE '^#.*(sed |REGISTRY|do not edit)' "$work/package/install.yaml")" 0
kinds() { grep -hE '^kind: ' "$@" | sort | uniq -c; }
check "install.yaml has every object" same "$(kinds "$work/package/install.yaml")" "$(kinds deploy/install.yaml)"
check "crds.yaml has every kind" same \
  "$(grep -c '^kind: CustomResourceDefinition$' "$work/package/crds.yaml")" "$(find crds -name '*.yaml' | wc -l)"
check "the repository's own chart is as it was" git diff --quiet -- charts deploy
refused "a tag for a digest" "is no digest" "$release/package.sh" "$image" latest "$work/none"
refused "an image with a line break" "is no name of an image" \
  "$release/package.sh" "$image"$'\nevil: true' "$digest" "$work/none"

"$release/checksums.sh" "$work/package"
sums() { (cd "$work/package" && sha256sum --check --strict --quiet SHA256SUMS); }
check "checksums of all files" same "$(wc -l <"$work/package/SHA256SUMS")" 3
check "they hold" sums
"$release/checksums.sh" "$work/package"
check "the list is not in itself" same "$(grep -c SHA256SUMS "$work/package/SHA256SUMS")" 0
echo changed >>"$work/package/crds.yaml"
refused "a file that was changed" "crds.yaml: FAILED" sums
mkdir "$work/empty"
refused "checksums of nothing" "has no file" "$release/checksums.sh" "$work/empty"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]

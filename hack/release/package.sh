#!/usr/bin/env bash
# Writes what a release carries besides the image and the binaries: the chart, the single-file install and the CRDs, all
# naming the image in the registry, by its digest.
#
#   package.sh IMAGE DIGEST FOLDER   IMAGE without a tag, such as REGISTRY/port-aws-operator; DIGEST is sha256:…
# shellcheck disable=SC2016 # Backquotes are Markdown's.
set -euo pipefail

fail() {
  printf 'package: %s\n' "$*" >&2
  exit 1
}

[ $# -eq 3 ] || { echo "usage: package.sh IMAGE DIGEST FOLDER" >&2; exit 2; }
image=$1 digest=$2
[[ $image =~ ^[a-z0-9][a-z0-9.:/_-]*$ ]] || fail "'$image' is no name of an image"
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "'$digest' is no digest"
mkdir -p "$3"
folder=$(realpath "$3")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(hack/release/version.sh)
helm=$(hack/build-helm.sh)/helm4

work=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-package.XXXXXX")
trap 'rm -rf "$work"' EXIT

# replace FILE OLD NEW: the one line that is OLD becomes NEW. If it is not there, or twice, the file is not what this
# script thinks.
replace() {
  local file=$1
  [ "$(grep -cxF -- "$2" "$file")" = 1 ] || fail "$file does not have the line '$2' once"
  OLD=$2 NEW=$3 awk '{ print $0 == ENVIRON["OLD"] ? ENVIRON["NEW"] : $0 }' "$file" >"$work/replaced"
  cat "$work/replaced" >"$file"
}

cp -R charts/port-aws-operator "$work/chart"
values=$work/chart/values.yaml
replace "$values" "# The operator's image. No public registry has it: push your own build, and name it here." \
  "# The operator's image: that of this release. For a build of your own, empty the digest."
replace "$values" "  repository: port-aws-operator" "  repository: $image"
replace "$values" '  tag: ""' "  tag: \"$version\""
replace "$values" '  digest: ""' "  digest: $digest"
replace "$work/chart/values.schema.json" \
  '      "description": "The operator'"'"'s image. No public registry has it: push your own build, and name it here."' \
  '      "description": "The operator'"'"'s image: that of this release. For a build of your own, empty the digest."'
readme=$work/chart/README.md
replace "$readme" 'No public registry has the image: build it with `make image`, push it to your own, and name it.' \
  'The image is that of this release, by its digest. A mirror that keeps digests takes `--set image.repository=…`.'
replace "$readme" "helm install port-aws-operator charts/port-aws-operator \\" \
  "helm install port-aws-operator port-aws-operator-$version.tgz \\"
replace "$readme" "  --set image.repository=registry.example.com/port-aws-operator \\" ""
sed -i '/^helm install/,/^```$/{/^$/d}' "$readme"
replace "$readme" "| **\`image\`** | | The operator's image. No public registry has it: push your own build, and name it here. |" \
  "| **\`image\`** | | The operator's image: that of this release. For a build of your own, empty the digest. |"
replace "$readme" '| `image.repository` | `port-aws-operator` | Registry and name. |' \
  "| \`image.repository\` | \`$image\` | Registry and name. |"
"$helm" package "$work/chart" --destination "$folder" >/dev/null
chart=$folder/port-aws-operator-$version.tgz
[ -f "$chart" ] || fail "helm did not write $chart"

reference=$image:$version@$digest
cp deploy/install.yaml "$work/install.yaml"
replace "$work/install.yaml" "        image: port-aws-operator:$version" "        image: $reference"
# The generated file says how to name an image. This one does.
{
  printf '# port-aws-operator %s: all that is installed, with the defaults of the chart.\n#\n' "$version"
  printf '#   kubectl apply --server-side -f install.yaml\n#\n'
  sed -n '/^# AWS credentials come/,/^[^#]/{/^#/p}' "$work/install.yaml"
  sed '1,/^[^#]/{/^#/d}' "$work/install.yaml"
} >"$folder/install.yaml"

for file in crds/*.yaml; do
  printf -- '---\n'
  sed '1{/^---$/d}' "$file"
done >"$folder/crds.yaml"

# What was written is what a cluster would get.
"$helm" template port-aws-operator "$chart" >"$work/rendered.yaml"
for rendered in "$folder/install.yaml" "$work/rendered.yaml"; do
  found=$(grep -oE '^ *image: .*' "$rendered" | sed -E 's/^ *image: "?([^"]*)"?$/\1/' | sort -u)
  [ "$found" = "$reference" ] || fail "expected the image $reference, found: $found"
done

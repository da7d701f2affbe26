#!/usr/bin/env bash
# The chart on a real node: a kubelet runs the image's Pods, in namespaces of the kernel that end with this script.
#
#   run.sh OPERATOR [demo]   the operator's binary; instead of the checks, a demo
#
# Exit code 77: it cannot run here. It needs Linux, root, and Debian's containerd, runc, containernetworking-plugins, iptables, conntrack, dnsmasq-base
# and buildah.
# Nothing outside is reached or changed, but for the sysctls that a kubelet sets, which are set back at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
  echo "e2e-node: needs Linux, and root" >&2
  exit 77
fi
for program in containerd runc iptables conntrack dnsmasq buildah unshare; do
  command -v "$program" >/dev/null || { echo "e2e-node: $program is missing" >&2; exit 77; }
done

TOOLS=$(hack/build-tools.sh)
NODE=$(hack/build-node.sh)
HELM=$(hack/build-helm.sh)/helm4
AWS_PYTHON=$(hack/aws-backend-env.sh)
STATE=$(mktemp -d "${TMPDIR:-/tmp}/port-aws-operator-node.XXXXXX")
export TOOLS NODE HELM AWS_PYTHON STATE

# Each with its value before.
sysctls=$(sysctl kernel.panic kernel.panic_on_oops vm.overcommit_memory 2>/dev/null | sed 's/ = /=/')
clean() {
  for setting in $sysctls; do sysctl --quiet --write "$setting" || true; done
  # The deepest first.
  find /sys/fs/cgroup -depth -type d -path '*kubepods*' -exec rmdir {} + 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then echo "logs are kept in $STATE"; else rm -rf "$STATE"; fi
}
trap clean EXIT

hack/image.sh "$1" "$STATE/operator.tar"
mkdir -p "$STATE/pause"
install -m 755 "$NODE/pause" "$STATE/pause/pause"
printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$STATE/pause/Dockerfile"
storage=(--storage-driver vfs --root "$STATE/storage" --runroot "$STATE/storage-run")
BUILDAH_ISOLATION=chroot buildah "${storage[@]}" build --quiet --tag localhost/pause:1 "$STATE/pause" >/dev/null
buildah "${storage[@]}" push --quiet localhost/pause:1 "oci-archive:$STATE/pause.tar:localhost/pause:1"

# --kill-child: whatever ends this script ends all that it started.
unshare --mount --propagation shared --net --pid --fork --kill-child --mount-proc bash tests/node/inside.sh "${2:-checks}"

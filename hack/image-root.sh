#!/usr/bin/env bash
# Makes the root folder of the image: the binary, what it is linked to, and the few files that its libraries read.
#
#   image-root.sh BINARY FOLDER
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: image-root.sh BINARY FOLDER" >&2; exit 2; }
binary=$1 root=$2

rm -rf "$root"
install -D -m 755 "$binary" "$root/usr/local/bin/port-aws-operator"

# Each library at the path where the loader looks for it, and the loader itself.
ldd "$binary" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
  install -D -m 755 "$library" "$root$library"
done

install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
# Nobody but root may write anywhere, whatever the umask was.
chmod -R u=rwX,go=rX "$root"

#!/usr/bin/env bash
# Starting, waiting and checking. Sourced by tests that are scripts; logs go to $STATE.

passed=0

# start NAME COMMAND...: in the background, with a log of that name.
start() {
  local name=$1
  shift
  "$@" >"$STATE/$name.log" 2>&1 &
}

# until_true SECONDS WHAT COMMAND...: waits until the command succeeds.
until_true() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >"$STATE/until.log" 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "gave up waiting for $what:" >&2
      tail -n 20 "$STATE/until.log" >&2
      return 1
    fi
    sleep 0.2
  done
}

# check WHAT COMMAND...: the command has to succeed. If it does not, the function explain shows more.
check() {
  local what=$1
  shift
  if ! "$@" >"$STATE/check.log" 2>&1; then
    echo "FAILED  $what" >&2
    tail -n 30 "$STATE/check.log" >&2
    explain >&2 || true
    return 1
  fi
  passed=$((passed + 1))
  printf 'ok  %3d s  %s\n' "$SECONDS" "$what"
}

# The first check that fails ends it all.
summary() {
  printf '%d passed, 0 failed\n' "$passed"
}

ETCD=http://127.0.0.1:2379
start_etcd() {
  local peer=http://127.0.0.1:2380
  start etcd "$TOOLS/etcd" --data-dir "$STATE/etcd" --listen-client-urls $ETCD --advertise-client-urls $ETCD \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster default=$peer \
    --unsafe-no-fsync --log-level error
}

# kubeconfig NAME TOKEN [NAMESPACE]: for the API server at $API_SERVER.
kubeconfig() {
  cat >"$STATE/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$API_SERVER", certificate-authority: $STATE/pki/apiserver.crt}}]
users: [{name: u, user: {token: $2}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: ${3:-default}}}]
current-context: x
YAML
}

kubectl() {
  "$TOOLS/kubectl" "$@"
}

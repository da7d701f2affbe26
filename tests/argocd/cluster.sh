#!/usr/bin/env bash
# An API server, an AWS and an Argo CD in core mode, all of them new, with no way out. Sourced by inside.sh.

export KUBECONFIG=$STATE/admin.kubeconfig
# Nothing is outside.
export no_proxy='*'
BACKEND=http://127.0.0.1:5000
export API_SERVER=https://127.0.0.1:6443

control_plane() {
  echo 'admin,admin,admin,"system:masters"' >"$STATE/tokens.csv"
  # What was made, and in which order.
  cat >"$STATE/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata, verbs: [create, patch, update, delete]}, {level: None}]
YAML
  openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/sa.key"
  start_etcd
  start kube-apiserver "$TOOLS/kube-apiserver" --etcd-servers="$ETCD" --bind-address=127.0.0.1 \
    --advertise-address=127.0.0.1 --secure-port=6443 --cert-dir="$STATE/pki" --token-auth-file="$STATE/tokens.csv" \
    --authorization-mode=RBAC --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$STATE/sa.key" --service-account-signing-key-file="$STATE/sa.key" \
    --service-cluster-ip-range=10.0.0.0/24 --disable-admission-plugins=ServiceAccount \
    --endpoint-reconciler-type=none --audit-policy-file="$STATE/audit.yaml" --audit-log-path="$STATE/audit.log"
  until_true 60 "the API server's certificate" test -s "$STATE/pki/apiserver.crt"
  kubeconfig admin admin port-aws-operator
  until_true 60 "the API server" kubectl get --raw /readyz
  # Argo CD deletes in the foreground, which the garbage collector carries out, and it waits for the Deployment and its
  # budget.
  local controllers
  controllers=$(printf '%s-controller,' garbage-collector namespace deployment replicaset disruption)
  start kube-controller-manager "$TOOLS/kube-controller-manager" --kubeconfig="$KUBECONFIG" --leader-elect=false \
    --secure-port=0 --controllers="${controllers%,}"
}

aws() {
  PYTHONDONTWRITEBYTECODE=1 start aws "$PYTHON" tests/aws-backend/backend.py --port 5000 --ready-file "$STATE/aws.port"
  until_true 60 "AWS" test -s "$STATE/aws.port"
}

# control METHOD PATH [BODY]: asks the control API of AWS.
control() {
  curl --silent --show-error --fail-with-body --max-time 60 --request "$1" ${3:+--data "$3"} "$BACKEND/_control/$2"
}

# argocd_part NAME OPTION...: a part of Argo CD, which tells them apart by their names.
argocd_part() {
  local name=$1
  shift
  start "$name" env ARGOCD_BINARY_NAME="argocd-$name" PATH="$STATE/bin:$PATH" HOME="$STATE" TMPDIR="$STATE/tmp" \
    ARGOCD_FAKE_IN_CLUSTER=true ARGOCD_GPG_ENABLED=false ARGOCD_TLS_DATA_PATH="$STATE/data/tls" \
    ARGOCD_SSH_DATA_PATH="$STATE/data/ssh" ARGOCD_GPG_DATA_PATH="$STATE/data/gpg" \
    ARGOCD_GNUPGHOME="$STATE/data/gnupg" ARGOCD_PLUGINSOCKFILEPATH="$STATE/data/plugins" \
    "$ARGOCD/argocd" --redis 127.0.0.1:6379 "$@"
}

argocd() {
  mkdir -p "$STATE/bin" "$STATE/tmp" "$STATE"/data/{tls,ssh,gpg,gnupg,plugins}
  ln -s "$ARGOCD"/hack/*-wrapper.sh "$STATE/bin/"
  ln -s "$HELM/helm4" "$STATE/bin/helm"
  # kubectl has kustomize in it.
  cat >"$STATE/bin/kustomize" <<SH
#!/bin/sh
[ "\$1" = build ] && shift && exec "$TOOLS/kubectl" kustomize "\$@"
SH
  chmod 755 "$STATE/bin/kustomize"
  kubectl create namespace argocd >/dev/null
  kubectl apply --server-side --namespace argocd --filename "$ARGOCD/manifests" >/dev/null
  until_true 30 "Argo CD's kinds" kubectl get applications,applicationsets,appprojects --namespace argocd
  # As Argo CD's own server makes it.
  kubectl apply --namespace argocd --filename - >/dev/null <<'YAML'
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default}
spec:
  sourceRepos: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
YAML
  kubectl patch configmap argocd-cm --namespace argocd --patch-file deploy/argocd/argocd-cm.yaml >/dev/null
  start redis redis-server --bind 127.0.0.1 --port 6379 --save "" --dir "$STATE"
  argocd_part repo-server --address 127.0.0.1 --port 9081 --metrics-address 127.0.0.1 --disable-tls --client-ca-path=
  # A comparison that fails for want of it would not be tried again for minutes.
  until_true 60 "Argo CD's repo-server" curl --silent --fail 'http://127.0.0.1:8084/healthz?full=true'
  # It keeps to itself what it thinks of each object, unless it is told to write it into the Application.
  # While kinds come it may miss an event, and would look again only after two minutes.
  argocd_part application-controller --namespace argocd --repo-server 127.0.0.1:9081 --repo-server-plaintext \
    --persist-resource-health --app-resync 10 --app-resync-jitter 0
  until_true 60 "Argo CD's controller" curl --silent --fail http://127.0.0.1:8082/healthz
}

start_cluster() {
  ip link set lo up
  control_plane
  aws
  argocd
}

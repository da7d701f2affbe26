#!/usr/bin/env bash
# A cluster of one node, with no way out. Sourced by inside.sh.

ADDRESS=10.77.0.1
AWS_URL=http://$ADDRESS:4566
export API_SERVER=https://$ADDRESS:6443
NODE_NAME=node
export KUBECONFIG=$STATE/admin.kubeconfig
# Only those of the tests: a helm or kubectl of the machine may be of any version.
export HOME=$STATE PATH=$STATE/bin:$PATH
mkdir -p "$STATE/bin"
ln -s "$HELM" "$STATE/bin/helm"
ln -s "$TOOLS/kubectl" "$STATE/bin/kubectl"

network() {
  mount -t tmpfs tmpfs /run
  for folder in /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers; do
    mkdir -p "$folder" "$STATE/mounts$folder"
    mount --bind "$STATE/mounts$folder" "$folder"
  done
  # Volumes that the kubelet mounts are seen in containers.
  mount --make-shared /var/lib/kubelet
  ip link set lo up
  ip link add cni0 type bridge
  ip address add "$ADDRESS/24" dev cni0
  ip link set cni0 up
  # The node, and Pods of its network, reach addresses of Services.
  ip route add 10.96.0.0/16 dev cni0
  sysctl --quiet --write net.ipv4.ip_forward=1
}

control_plane() {
  cat >"$STATE/tokens.csv" <<CSV
admin,admin,admin,"system:masters"
node,system:node:$NODE_NAME,node,"system:nodes"
controller-manager,system:kube-controller-manager,controller-manager
scheduler,system:kube-scheduler,scheduler
proxy,system:kube-proxy,proxy
CSV
  openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/sa.key"
  start_etcd
  start kube-apiserver "$TOOLS/kube-apiserver" --etcd-servers="$ETCD" --bind-address=0.0.0.0 \
    --advertise-address=$ADDRESS --secure-port=6443 --cert-dir="$STATE/pki" --token-auth-file="$STATE/tokens.csv" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$STATE/sa.key" \
    --service-account-signing-key-file="$STATE/sa.key" --service-cluster-ip-range=10.96.0.0/16 \
    --allow-privileged=true --kubelet-preferred-address-types=InternalIP
  until_true 60 "the API server's certificate" test -s "$STATE/pki/apiserver.crt"
  # The token of each is its name.
  for user in admin node controller-manager scheduler proxy; do kubeconfig $user $user; done
  until_true 60 "the API server" kubectl get --raw /readyz
  # The default of 20 requests a second would make the first service account come late.
  start kube-controller-manager "$TOOLS/kube-controller-manager" --kubeconfig="$STATE/controller-manager.kubeconfig" \
    --leader-elect=false --secure-port=0 --use-service-account-credentials --kube-api-qps=300 --kube-api-burst=600 \
    --service-account-private-key-file="$STATE/sa.key" --root-ca-file="$STATE/pki/apiserver.crt"
  start kube-scheduler "$NODE/kube-scheduler" --kubeconfig="$STATE/scheduler.kubeconfig" --leader-elect=false \
    --secure-port=0
}

node() {
  mkdir -p "$STATE/cni" "$STATE/kubelet"
  cat >"$STATE/cni/10-bridge.conflist" <<'JSON'
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": false, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.10",
            "rangeEnd": "10.77.0.200", "gateway": "10.77.0.1"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  # restrict_oom_score_adj: root may lack the capability to lower it.
  cat >"$STATE/containerd.toml" <<TOML
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
  # No authentication: nothing reaches it but what runs in here.
  cat >"$STATE/kubelet.yaml" <<'YAML'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
resolvConf: ""
clusterDNS: [10.77.0.1]
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
containerRuntimeEndpoint: unix:///run/containerd.sock
YAML
  start containerd containerd --config "$STATE/containerd.toml"
  until_true 30 containerd ctr --address /run/containerd.sock version
  for archive in pause operator; do
    ctr --address /run/containerd.sock --namespace k8s.io images import "$STATE/$archive.tar" >/dev/null
  done
  start kubelet "$NODE/kubelet" --kubeconfig="$STATE/node.kubeconfig" --config="$STATE/kubelet.yaml" \
    --hostname-override=$NODE_NAME --node-ip=$ADDRESS
  start kube-proxy "$NODE/kube-proxy" --kubeconfig="$STATE/proxy.kubeconfig" --proxy-mode=iptables \
    --hostname-override=$NODE_NAME --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
  until_true 60 "the node" kubectl wait --for=condition=Ready --timeout=1s node/$NODE_NAME
}

# A DNS of the names that name_service gives it.
dns() {
  mkdir -p "$STATE/hosts"
  start dnsmasq dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --no-resolv --no-hosts --pid-file= \
    --listen-address=$ADDRESS --bind-interfaces --hostsdir="$STATE/hosts" --local=/cluster.local/
}

# name_service NAMESPACE NAME: its name, as a cluster's DNS has it.
name_service() {
  local address
  address=$(kubectl get service --namespace "$1" "$2" --output 'jsonpath={.spec.clusterIP}')
  # In one go: dnsmasq reads a file as soon as it is there.
  printf '%s %s.%s.svc.cluster.local\n' "$address" "$2" "$1" >"$STATE/name"
  mv "$STATE/name" "$STATE/hosts/$2"
}

# AWS for the Pods: an account that has the operator's role.
aws() {
  start aws "$AWS_PYTHON" tests/aws-backend/backend.py --isolated --host $ADDRESS --port 4566 \
    --ready-file "$STATE/aws.port"
  until_true 30 "the AWS backend" test -s "$STATE/aws.port"
  "$AWS_PYTHON" tests/node/aws.py "$AWS_URL" prepare
}

# probe SERVICE_ACCOUNT [ARGUMENT...]: which variables a Pod of it would have.
probe() {
  local account=$1
  shift
  kubectl run probe --image=none --env=PROBE=1 --overrides "{\"spec\": {\"serviceAccountName\": \"$account\"}}" \
    --dry-run=server --output 'jsonpath={.spec.containers[0].env[*].name}' "$@"
}

has_role() {
  probe irsa | grep -w AWS_ROLE_ARN
}

is_refused_without_role() {
  ! probe default --labels=app.kubernetes.io/name=port-aws-operator 2>"$STATE/probe.log" &&
    grep -F "its ServiceAccount is not known yet" "$STATE/probe.log"
}

# Pods get roles from now on: a policy that was accepted takes a while to act.
irsa() {
  kubectl create serviceaccount irsa >/dev/null
  kubectl annotate serviceaccount irsa eks.amazonaws.com/role-arn=probe >/dev/null
  until_true 30 "the stand-in for the webhook of EKS" kubectl apply --filename tests/node/irsa.yaml
  until_true 30 "roles for Pods" has_role
  until_true 30 "the refusal of a Pod without a role" is_refused_without_role
  kubectl delete serviceaccount irsa >/dev/null
}

start_cluster() {
  network
  dns
  aws
  control_plane
  node
  irsa
}

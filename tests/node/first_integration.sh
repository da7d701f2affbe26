#!/usr/bin/env bash
# The commands of docs/first-integration.md, on the node. Sourced by inside.sh.

PAGE=docs/first-integration.md
NAMESPACE=port-aws-operator
ROLE=PortIntegrationRole-aws-prod

# The commands of the page's first block. The image is not in a registry but on the node.
first_integration() {
  awk '/^```sh$/ { block = 1; next } /^```$/ && block { exit } block' $PAGE | sed 's/registry\.example\.com/localhost/'
}

# Pod Security is there before anything is installed.
restrict_namespace() {
  kubectl create namespace "$NAMESPACE" >/dev/null
  kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted >/dev/null
}

# The role as AWS has it.
role() {
  "$AWS_PYTHON" tests/node/aws.py "$AWS_URL" role "$ROLE"
}

# The Pod that acts, and a part of its own.
holder() {
  kubectl get lease port-aws-operator --namespace "$NAMESPACE" --output 'jsonpath={.spec.holderIdentity}'
}

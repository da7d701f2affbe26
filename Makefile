# `make help` lists what there is to do.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
# Always for the whole workspace: cargo would build the dependencies again for another selection.
WORKSPACE := --locked --workspace
BIN = $${CARGO_TARGET_DIR:-target}/debug
SIMULATION = $${CARGO_TARGET_DIR:-target}/sim/simulation
# How many simulations `make simulate` runs, and the first seed.
SEEDS ?= 1000
FIRST ?= 0
RELEASE = $${CARGO_TARGET_DIR:-target}/release
# What the scale run is told. The operator's own limit, 10 AssumeRole a second, would be all that it measures.
SCALE ?= --max-assume-role-rate 1000
# End-to-end tests mostly wait for the operator, so more of them run than there are cores.
E2E_THREADS ?= 6
# Of the soak.
FAULTS ?= 10000
RESOURCES ?= 200
# Seconds of each fuzz target.
FUZZ ?= 60
CHART := charts/port-aws-operator
# Every AWS action that the operator takes in the end-to-end tests.
SEEN_ACTIONS := $(CURDIR)/target/seen-actions
AUDIT_LOGS := $(CURDIR)/target/audit-logs
# Whether a variable is set to anything but no.
is-on = $(filter-out 0 no false,$(1))
# What a test or the demo needs to find; each script prints where it is, and makes it once.
# (Assigned before they are exported: 'export' would hide that a script failed.)
PARTS = TESTKIT_TOOLS="$$(hack/build-tools.sh)"; TESTKIT_AWS_PYTHON="$$(hack/aws-backend-env.sh)"; \
	export TESTKIT_TOOLS TESTKIT_AWS_PYTHON

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: prerequisites
prerequisites: ## Check that everything needed is installed
	@hack/prerequisites.sh

.PHONY: build
build: prerequisites ## Build the operator
	$(CARGO) build $(WORKSPACE) --bins

.PHONY: demo
demo: prerequisites ## Show one account going to Ready, drifting and healing (KEEP=1 leaves it running; NODE=1: on a kubelet; RECORD=FILE.svg)
	$(if $(and $(call is-on,$(NODE)),$(RECORD)),$(error RECORD draws the demo without NODE))
	@echo "Building the operator and the demo (some minutes the first time) ..."
	@$(CARGO) build $(WORKSPACE) --bins
	@$(PARTS); exec $(if $(call is-on,$(NODE)),tests/node/run.sh "$(BIN)/port-aws-operator" demo,"$(BIN)/demo" \
		$(if $(call is-on,$(KEEP)),--keep) $(if $(RECORD),--record "$(RECORD)"))

.PHONY: test
test: prerequisites test-unit test-backend test-simulation test-e2e test-otlp e2e-delivery ## Run every test

.PHONY: test-unit
test-unit: ## Unit and property tests, and those of the test support itself
	$(PARTS); $(CARGO) test $(WORKSPACE) --lib --bins --test control_plane --test aws_backend --test organizations --test fixture --test fuzzing --test docs

.PHONY: test-backend
test-backend: ## Tests of the AWS backend
	python="$$(hack/aws-backend-env.sh)"; cd tests/aws-backend && "$$python" -m unittest

.PHONY: test-e2e
test-e2e: ## Tests of the operator against a real API server and the AWS backend
	@rm -rf "$(SEEN_ACTIONS)" "$(AUDIT_LOGS)"; mkdir -p "$(dir $(SEEN_ACTIONS))"
	$(PARTS); export TESTKIT_SEEN_ACTIONS="$(SEEN_ACTIONS)" TESTKIT_AUDIT_LOGS="$(AUDIT_LOGS)"; \
		$(CARGO) test $(WORKSPACE) --test e2e -- --test-threads=$(E2E_THREADS)
	@hack/check-seen-actions.sh "$(BIN)/port-aws-operator" "$(SEEN_ACTIONS)"
	@"$$(hack/aws-backend-env.sh)" hack/check-seen-rights.py deploy/rbac.yaml "$(AUDIT_LOGS)" && rm -rf "$(AUDIT_LOGS)"

.PHONY: test-simulation
test-simulation: build-simulation ## The operator on models of AWS and the API server: 1,000 seeds, 200 of them twice, built-in defects
	"$(SIMULATION)" many --seeds 1000
	"$(SIMULATION)" twice --seeds 200
	"$(SIMULATION)" mutations

.PHONY: simulate
simulate: build-simulation ## Simulations with SEEDS seeds from FIRST
	"$(SIMULATION)" many --first $(FIRST) --seeds $(SEEDS)

.PHONY: build-simulation
build-simulation:
	$(CARGO) build --locked --profile sim --package simulation

.PHONY: fuzz
fuzz: ## Fuzz the policy parser and the resources' types for FUZZ=60 seconds each (takes a nightly toolchain)
	hack/fuzz.sh "$(FUZZ)"

.PHONY: soak
soak: prerequisites ## Have FAULTS=10000 calls fail under RESOURCES=200 (TESTKIT_SEED=N draws the same again)
	$(PARTS); SOAK_FAULTS="$(FAULTS)" SOAK_RESOURCES="$(RESOURCES)" \
		$(CARGO) test $(WORKSPACE) --test e2e -- --ignored --exact --nocapture soak::any_number_of_faults_leaves_no_trace

.PHONY: bench
bench: ## Time the queue and the planner (builds everything optimised)
	$(CARGO) bench --locked --bench plan --bench queue

.PHONY: bench-scale
bench-scale: prerequisites ## Measure time, calls and memory with 2,000 accounts, and with 1,000 resources
	$(CARGO) build --locked --release
	$(CARGO) build $(WORKSPACE) --bins
	@$(PARTS); for mode in accounts resources; do \
		"$(BIN)/scale" $$mode --operator "$(RELEASE)/port-aws-operator" $(SCALE); echo; \
	done

.PHONY: test-otlp
test-otlp: ## Test of what the feature otlp sends to a collector
	$(PARTS); $(CARGO) test --locked --features otlp --test otlp

.PHONY: lint
lint: ## Formatting, and clippy with warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(WORKSPACE) --all-targets -- -D warnings
	$(CARGO) clippy --locked --features otlp --lib --test otlp -- -D warnings

.PHONY: lint-aws
lint-aws: ## IAM policies, CloudFormation templates and Terraform module in deploy/aws
	python="$$(hack/lint-aws-env.sh)"; "$$python" hack/lint-aws/check.py deploy/aws

.PHONY: lint-rules
lint-rules: ## Alerts and their unit tests, and the queries of the dashboard
	hack/lint-rules.sh

.PHONY: lint-workflows
lint-workflows: ## Workflows in .github, and every shell script
	hack/lint-workflows.sh

.PHONY: lint-release
lint-release: ## The scripts of a release, and that the Dockerfile finds what it needs
	hack/release/test.sh
	hack/check-dockerfile.sh

.PHONY: deny
deny: ## Licences, versions and sources of all crates (hack/deny.sh advisories asks for known flaws)
	hack/deny.sh

.PHONY: image
image: prerequisites ## Build the image from the release binary, as an OCI archive in target/image (needs buildah)
	$(CARGO) build --locked --release --bin port-aws-operator
	hack/image.sh "$(RELEASE)/port-aws-operator" target/image/port-aws-operator.tar

HELM_PARTS = HELM_TOOLS="$$(hack/build-helm.sh)"; export HELM_TOOLS
# The commands of the documentation call it.
AWS_CLI_PARTS = TESTKIT_AWS_CLI_PYTHON="$$(hack/aws-cli-env.sh)"; export TESTKIT_AWS_CLI_PYTHON

.PHONY: lint-chart
lint-chart: ## The chart with Helm 3 and 4, for each set of values
	@$(HELM_PARTS); for helm in helm3 helm4; do for values in $(CHART)/ci/*-values.yaml; do \
		echo "$$helm lint --values $$values"; "$$HELM_TOOLS/$$helm" lint --quiet --strict --values "$$values" $(CHART); \
	done; done

.PHONY: e2e-delivery
e2e-delivery: test-delivery ## All that is shipped, on real parts: test-delivery, and e2e-argocd and e2e-node where they can run
	$(CARGO) build $(WORKSPACE) --bins
	hack/where-possible.sh tests/argocd/run.sh "$(BIN)/port-aws-operator"
	hack/where-possible.sh tests/node/run.sh "$(BIN)/port-aws-operator"

.PHONY: test-delivery
test-delivery: ## Tests of chart, manifests, image and the commands in pages, on a real API server
	$(PARTS); $(HELM_PARTS); $(AWS_CLI_PARTS); $(CARGO) test $(WORKSPACE) --test delivery -- --test-threads=3

.PHONY: lint-argocd
lint-argocd: ## The health scripts, judged by Argo CD's own binary (built the first time, about 4 minutes)
	tests/argocd/health.sh

.PHONY: e2e-node
e2e-node: ## The chart on a kubelet, in kernel namespaces of its own (needs Linux, root and containerd; see tests/node)
	$(CARGO) build $(WORKSPACE) --bins
	tests/node/run.sh "$(BIN)/port-aws-operator"

.PHONY: e2e-argocd
e2e-argocd: ## Argo CD itself syncs deploy/argocd (needs Linux, root and redis-server; see tests/argocd)
	$(CARGO) build $(WORKSPACE) --bins
	tests/argocd/run.sh "$(BIN)/port-aws-operator"

.PHONY: generate
generate: ## Write the generated files: CRDs, IAM policies and templates, list of metrics, API reference, chart and manifests
	$(CARGO) build --quiet $(WORKSPACE) --bins
	"$(BIN)/port-aws-operator" crds --output-dir crds
	"$(BIN)/port-aws-operator" policies --output-dir deploy/aws
	"$(BIN)/port-aws-operator" metrics-doc --output docs/metrics.md
	"$(BIN)/port-aws-operator" reference-doc --output docs/reference.md
	hack/generate-delivery.sh

GENERATED := crds deploy/aws docs/metrics.md docs/reference.md $(CHART) deploy/base deploy/components deploy/install.yaml deploy/argocd

.PHONY: check-generated
check-generated: generate ## Fail if a generated file is not up to date
	@git diff --exit-code --stat -- $(GENERATED) || { \
		echo "one of $(GENERATED) is stale: run 'make generate' and commit"; exit 1; }

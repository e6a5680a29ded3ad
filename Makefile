# `make run` runs a whole pipeline on this machine; `make test` passes the tests.
# `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stockpipe
# Outside the clone, so that another clone finds the dependencies built.
export CARGO_TARGET_DIR ?= $(CACHE)/target
ARGS ?=
# Of the whole workspace, as everything else: one crate alone would have other features, and compile its dependencies again.
EXAMPLES := cargo build -q --workspace --examples

.PHONY: help
help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the build needs (Debian packages when root), or name it
	@scripts/setup build

.PHONY: build
build: setup ## Build the command and the worker
	@cargo build --workspace --bins

.PHONY: run
run: build ## Run the quickstart pipeline until ctrl-C (make run ARGS='--for 30s')
	@exec "$(CARGO_TARGET_DIR)/debug/stockpipe" up $(ARGS)

.PHONY: test
test: setup ## Pass the tests that need nothing but Rust; with Go, also those on a Kubernetes control plane
	@if ! command -v go >/dev/null; then \
	  echo "make test: SKIPPED the operator on a control plane: Go is missing (1.26 or newer, from go.dev)" >&2; \
	elif ! tests/cluster/build >/dev/null; then \
	  echo "make test: SKIPPED the operator on a control plane: tests/cluster/build failed, as it says above" >&2; \
	fi
	@cargo build --workspace --bins
	@cargo test --workspace

.PHONY: test-real
test-real: build ## Tests on real Apache Kafka, an S3 and Glue of others, and Python clients
	@scripts/setup real
	@STOCKPIPE_REAL=1 cargo test --workspace --test e2e -- real:: real_ clients:: --nocapture

.PHONY: test-destruction
test-destruction: build ## Kill the producer and the lander at every write point, three times each
	@STOCKPIPE_DESTRUCTION=1 cargo test --workspace --test e2e -- destruction:: --nocapture

# One after the other: each measures the machine. GB=10 and HOURS=24 are the whole of two of them.
.PHONY: test-faults
test-faults: build ## Slow disks, clocks that step, much of everything (make test-faults GB=10 HOURS=24)
	@GB=$(or $(GB),1) HOURS=$(or $(HOURS),24) STOCKPIPE_FAULTS=1 \
	  cargo test --workspace --test e2e -- faults:: --nocapture --test-threads=1

.PHONY: dist
dist: setup ## A release as one archive with licences, man pages, completions and checksums, in dist/
	@scripts/dist

.PHONY: image
image: build ## Pack the binaries into an image archive, without Docker
	@scripts/setup cluster
	@scripts/image

.PHONY: chart
chart: ## Check the chart: lint, units, schemas, golden files, and against an API server
	@scripts/setup cluster
	@export PATH="$(CACHE)/cluster-tools/current:$(CACHE)/testcluster/current:$$PATH" && charts/check && \
	  dir=$$(mktemp -d) && trap 'testcluster down --dir "$$dir"; rm -rf "$$dir"' EXIT && \
	  testcluster up --dir "$$dir" --control-plane-only && KUBECONFIG=$$dir/kubeconfig charts/check-server

.PHONY: kind-up
kind-up: ## A kind cluster with a pipeline that runs, and its page (needs Docker, kind, kubectl and helm)
	@scripts/kind-up

.PHONY: e2e
e2e: build ## Users' stories on a real Kubernetes (root; KUBECONFIG and STOCKPIPE_IMAGE: on yours)
	@scripts/setup cluster
	@scripts/setup real
	@archive=$$(scripts/image) && cd tests/cluster && SECONDS=0 && \
	  ./go test -vet=off -count=1 -timeout 10m ./internal/... ./cmd/... && \
	  STOCKPIPE_E2E=1 STOCKPIPE_IMAGE_ARCHIVE=$$archive ./go test -vet=off -count=1 -timeout 60m -v ./e2e && \
	  echo "wall time of the tests on Kubernetes, what Go had to compile for them included: $$SECONDS s"

.PHONY: market-gates
market-gates: setup ## Hold the synthetic market to real markets' statistics (make market-gates SEEDS=3)
	@$(EXAMPLES)
	@"$(CARGO_TARGET_DIR)/debug/examples/gates" --seeds $(or $(SEEDS),20)

GATES_VENV := $(CACHE)/venv/gates

$(GATES_VENV)/ready: tests/python/gates-requirements.txt
	@python3 -m venv "$(GATES_VENV)"
	@"$(GATES_VENV)/bin/pip" install -q -r $<
	@touch $@

.PHONY: market-check
market-check: setup $(GATES_VENV)/ready ## Compute a seed of them again with numpy, scipy and statsmodels
	@$(EXAMPLES)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  "$(CARGO_TARGET_DIR)/debug/examples/gates" --seeds 1 --model-only --export "$$folder" && \
	  "$(GATES_VENV)/bin/python" tests/python/market_gates.py "$$folder"

.PHONY: market-plots
market-plots: setup $(GATES_VENV)/ready ## Check a seed of them, and plot it
	@$(EXAMPLES)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  "$(CARGO_TARGET_DIR)/debug/examples/gates" --seeds 1 --model-only --export "$$folder" || [ $$? = 1 ]; \
	  "$(GATES_VENV)/bin/python" tests/python/market_gates.py "$$folder" --plots docs/guides/images/market-model.png; \
	  "$(CARGO_TARGET_DIR)/debug/examples/scenarios" | \
	  "$(GATES_VENV)/bin/python" tests/python/market_scenarios.py docs/guides/images/market-scenarios.png

CALENDARS_VENV := $(CACHE)/venv/calendars

$(CALENDARS_VENV)/ready: tests/python/calendar-requirements.txt
	@python3 -m venv "$(CALENDARS_VENV)"
	@"$(CALENDARS_VENV)/bin/pip" install -q -r $<
	@touch $@

.PHONY: calendars
calendars: setup $(CALENDARS_VENV)/ready ## Compare every session of every exchange with exchange-calendars
	@$(EXAMPLES)
	@"$(CALENDARS_VENV)/bin/python" tests/python/calendar_oracle.py "$(CARGO_TARGET_DIR)/debug/examples/calendar"

.PHONY: lint
lint: setup ## Formatting, lints, licences, the page's checks
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@scripts/lint

.PHONY: crd
crd: ## Regenerate crds/yaml/
	@$(EXAMPLES)
	@"$(CARGO_TARGET_DIR)/debug/examples/crd"
	@cp crds/yaml/stockpipelines.stockpipe.dev.yaml charts/stockpipe/files/

.PHONY: dashboard
dashboard: ## Rebuild the page's bundle (needs Node)
	@cd dashboard && npm ci --no-audit --no-fund && npm run check && npm run build

.PHONY: bench
bench: bench-market bench-pipeline bench-operator ## Every benchmark

.PHONY: bench-market
bench-market: setup ## Codecs and simulator, ticks a second on one core
	@cargo bench -p stockpipe-market

.PHONY: bench-pipeline
bench-pipeline: build ## Produced and landed ticks a second in one process, and of a lander alone, with their memory
	@scripts/bench-pipeline
	@scripts/bench-lander

.PHONY: bench-operator
bench-operator: build ## 1,000 pipelines at once: time, CPU, memory, requests; a no-op reconcile; writes when idle (Go)
	@scripts/setup cluster
	@scripts/bench-operator

.PHONY: clean
clean: ## Remove the build cache
	@rm -rf "$(CARGO_TARGET_DIR)"

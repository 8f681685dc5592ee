# MKE. `make up` starts a region with its first cluster, `make test` runs every test, `make help` lists the rest.
SHELL        := /bin/bash
DATA_DIR     ?= $(or $(MKE_DATA_DIR),/var/lib/mke)
GO           ?= go
# The same flags everywhere, or the build cache is useless.
GO_BUILD      = CGO_ENABLED=0 $(GO) build -ldflags "-s -w"
TOOLS         = $(GO) tool -modfile=hack/tools/go.mod
PACKAGES      = $(shell $(GO) list ./... | grep -v -E '/test/(e2e|bench)')
E2E_TIMEOUT  ?= 40m

.DEFAULT_GOAL := help

##@ The two commands

.PHONY: up
up: build ## Start the region on this machine, create meu-cluster, run nginx in it
	bin/mke up --data-dir $(DATA_DIR)

.PHONY: test
test: ## Set up what tests need and run all of them: unit, contract, controllers, end to end
	@hack/test.sh

##@ Region

.PHONY: down
down: build ## Remove the region from this machine; only caches stay in the data folder
	bin/mke down --data-dir $(DATA_DIR)

.PHONY: status
status: ## Show the region's endpoint and the health of its parts
	@bin/mke status --data-dir $(DATA_DIR)

##@ Development

.PHONY: build
build: ## Build bin/mke and bin/mgc
	$(GO_BUILD) -o bin/ ./cmd/mke ./cmd/mgc

.PHONY: images
images: build ## Build what runs inside the region (cached by content)
	bin/mke image build --data-dir $(DATA_DIR)

.PHONY: setup-test
setup-test: ## Install Debian packages that only tests need
	@hack/setup-test.sh

.PHONY: tools
tools: build ## Put kubectl, kube-apiserver and etcd into bin/ (envtest uses them)
	bin/mke image tools --data-dir $(DATA_DIR) --bin-dir bin

.PHONY: test-unit
# Race detectors sleep for a second before each program ends, by default; make lint vets. Two packages a core: many tests wait.
test-unit: setup-test tools ## Run the unit, contract and controller tests with the race detector
	GORACE=atexit_sleep_ms=50 MKE_DATA_DIR=$(DATA_DIR) $(GO) test -race -vet=off -count=1 -timeout 20m -p $$((2 * $$(nproc))) $(PACKAGES)

.PHONY: test-outage
test-outage: setup-test tools ## Take the database away from mke-api for a minute, twice, while it is being written to
	MKE_TEST_OUTAGE=1m $(GO) test -count=1 -timeout 20m -run TestDatabaseOutage -v ./test/contract

.PHONY: test-e2e
test-e2e: setup-test build images tools ## Run the end-to-end journey on a real region
	MKE_DATA_DIR=$(DATA_DIR) $(GO) test -tags e2e -count=1 -timeout $(E2E_TIMEOUT) -parallel 8 -v ./test/e2e

.PHONY: lint
lint: ## gofmt, vet, golangci-lint and drift of generated files
	@hack/lint.sh

.PHONY: vuln
vuln: ## Look for known vulnerabilities that our programs reach (says NOT RUN where there is no network)
	@hack/vuln.sh

.PHONY: generate
generate: ## Regenerate deep copies, CRDs, SQL code, Cluster API's chart parts, Calico's manifest, CLI reference
	@hack/generate.sh

.PHONY: man
man: ## Write man pages of mgc into bin/man/man1
	$(GO) run ./internal/cli/gendocs -man bin/man/man1

##@ Benchmarks (they print, they never fail on a number)

.PHONY: bench-create
bench-create: build ## Time cluster create and delete beside the same work by hand
	$(GO) run ./test/bench/create --data-dir $(DATA_DIR)

.PHONY: bench-lb
bench-lb: build ## Time a Service of type LoadBalancer beside its node ports, in a running region's cluster
	$(GO) run ./test/bench/lb --data-dir $(DATA_DIR)

.PHONY: bench-storage
bench-storage: build ## Time a Pod with a new volume, and fio on it, beside the same work by hand, in a running region's cluster
	@command -v fio >/dev/null && command -v mkfs.xfs >/dev/null || \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends fio xfsprogs >/dev/null)
	$(GO) run ./test/bench/storage --data-dir $(DATA_DIR)

.PHONY: bench-net
bench-net: build ## Time a stream between Pods beside one between two network namespaces, in a running region's cluster
	$(GO) run ./test/bench/net --data-dir $(DATA_DIR)

.PHONY: bench-api
bench-api: setup-test ## Load gateway, API and PostgreSQL beside a bare handler and the same SQL (ARGS="-only get -profile DIR")
	$(GO) run ./test/bench/api $(ARGS)

.PHONY: demo-2000
demo-2000: build ## Take a pool of hollow nodes to 2,000 with 20,000 pods and back to none, in a running region
	$(GO) run ./test/bench/scale --data-dir $(DATA_DIR)

.PHONY: bench-autoscale
bench-autoscale: build ## Time the autoscaler: its decisions, its cost at rest, and Pods from Pending to Running beside nodes made by hand
	$(GO) run ./test/bench/autoscale
	$(GO) run ./test/bench/demand --data-dir $(DATA_DIR)

##@ Conformance

.PHONY: conformance
conformance: setup-test build tools ## Run Kubernetes' official suite on a cluster of its own (FOCUS=, SKIP=, PROCS=, KEEP=1)
	$(GO) run ./test/conformance --data-dir $(DATA_DIR) $(if $(FOCUS),--focus '$(FOCUS)') $(if $(SKIP),--skip '$(SKIP)') \
	  $(if $(PROCS),--procs $(PROCS)) $(if $(KEEP),--keep)

##@ Help

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

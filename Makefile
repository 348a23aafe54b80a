# Almanac. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN       := bin
DATA      ?= .almanac
ARGS      ?=
FLIGHTS   ?= .cache/flights
KILLS     ?= 200
SEED      ?= 0
FAULTS    ?= 200
CACHE     := .cache
FUNCTIONS := calendar collect process validate store aggregate deliver serve
GOLANGCI  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GO_FILES  := $(shell find events functions tests -name '*.go' 2>/dev/null)
VERSION   := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION)

# Builds and tests with the same flags share what they compile.
export GOFLAGS := $(strip -trimpath $(GOFLAGS))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tools
tools: ## check that git, Go 1.26 and g++ are there, and say how to get what is not
	@tests/tools.sh

.PHONY: build
build: tools $(BIN)/almanac ## build bin/almanac, which holds every function

$(BIN)/almanac: go.mod go.sum $(GO_FILES) | tools
	go build -ldflags '$(LDFLAGS)' -o $@ ./functions/almanac

.PHONY: functions
functions: tools ## build each function as a program of its own, without cgo: only bin/almanac holds DuckDB
	@for f in $(FUNCTIONS); do CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o $(BIN)/$$f ./functions/$$f || exit 1; done

.PHONY: run
run: build ## replay half a year of real flights into tables and releases, then serve them
	@$(BIN)/almanac run --data $(DATA) $(ARGS)

.PHONY: test
test: tools ## run the unit and in-process tests
	go test ./...

.PHONY: lint
lint: tools ## run golangci-lint with every linter but those excluded with a reason
	@mkdir -p $(CACHE)/bin
	@test -x $(CACHE)/bin/golangci-lint-v2.15.0 || { GOBIN=$(CURDIR)/$(CACHE)/bin GOFLAGS=-mod=mod go install $(GOLANGCI) && \
	  mv $(CACHE)/bin/golangci-lint $(CACHE)/bin/golangci-lint-v2.15.0; }
	$(CACHE)/bin/golangci-lint-v2.15.0 run --allow-parallel-runners ./...

.PHONY: crash
crash: build ## kill -9 the run KILLS times at random moments (SEED=n repeats a run) and compare what comes out
	go test ./tests/crash -count=1 -timeout 30m -v -args -almanac $(CURDIR)/$(BIN)/almanac -kills $(KILLS) -seed $(SEED)

.PHONY: e2e
e2e: build functions ## run the README's commands and read the result with other programs
	go test ./tests/e2e -count=1 -timeout 15m -args -almanac $(CURDIR)/$(BIN)/almanac -functions $(CURDIR)/$(BIN)

.PHONY: check
check: lint test e2e ## all that CI runs
	@$(MAKE) --no-print-directory -j2 --output-sync=target crash cluster-suites
	@$(MAKE) --no-print-directory cluster-jobs

.PHONY: flights
flights: tools ## make the daily CSV files of all 3,000,000 flights in FLIGHTS, for benchmarks
	tests/samples/flights.sh $(FLIGHTS)

.PHONY: bench
bench: build flights ## measure the job beside DuckDB, five times each in turn
	go run ./tests/bench -almanac $(BIN)/almanac -flights $(FLIGHTS)

LAB_FORM := $(if $(SECURE),-secure)
LAB_ONLY := $(if $(ONLY),-only $(ONLY))

.PHONY: lab
lab: tools ## start Kafka, HDFS, YARN and Spark on this machine (SECURE=1: with Kerberos, TLS and access rules; ONLY=kafka: some of them)
	go run ./tests/lab up $(LAB_FORM) $(LAB_ONLY)

.PHONY: lab-status
lab-status: tools ## tell how each server of the lab is, and how to reach it
	@go run ./tests/lab status $(LAB_FORM) $(LAB_ONLY)

.PHONY: lab-check
lab-check: tools ## test the lab that runs: what it lets in, what it refuses (LONG=1: and a job that outlives its delegation tokens)
	go test ./tests/lab -count=1 -timeout 20m -v -args -form $(if $(SECURE),secure,plain) $(if $(LONG),-long)

.PHONY: lab-down
lab-down: tools ## stop the servers of the lab; their data stays
	go run ./tests/lab down $(LAB_FORM)

# on-lab starts a form of the lab, does something with it, and stops it whatever comes of that.
define on-lab
	@trap 'go run ./tests/lab down $(if $(filter secure,$(1)),-secure)' EXIT; go run ./tests/lab up $(if $(filter secure,$(1)),-secure); $(2)
endef

# on-cluster are tests of the whole job on a form of the lab.
on-cluster = go test ./tests/cluster -count=1 -timeout 120m -v -run '$(2)' -args -almanac $(CURDIR)/$(BIN)/almanac \
	-functions $(CURDIR)/$(BIN) -lab $(CURDIR)/.cache/lab/$(1)/env $(3)

.PHONY: cluster-check cluster-suites cluster-jobs
cluster-check: ## test the adapters and do the whole job on the lab's servers, plain and secured, amid faults, and compare with one process
	@$(MAKE) --no-print-directory cluster-suites
	@$(MAKE) --no-print-directory cluster-jobs

cluster-suites: build functions
	$(call on-lab,plain,tests/lab/suites.sh plain)

cluster-jobs: build functions
	$(call on-lab,plain,$(call on-cluster,plain,.))
	$(call on-lab,secure,tests/lab/suites.sh secure; $(call on-cluster,secure,TestJob|TestFaults,-faults 12))

.PHONY: cluster-crash
cluster-crash: build functions ## do a part of the job amid FAULTS random faults on the lab (SEED=n repeats their choice, SECURE=1 takes the secured form)
	$(call on-lab,$(if $(SECURE),secure,plain),$(call on-cluster,$(if $(SECURE),secure,plain),TestFaults,-faults $(FAULTS) -seed $(SEED)))

.PHONY: bench-lab
bench-lab: build functions flights ## measure the job on the plain lab beside Kafka's performance tools, Kafka Connect, hdfs dfs -put and Spark's own client
	@trap 'go run ./tests/lab down' EXIT; go run ./tests/lab up; \
	go run ./tests/lab/bench -bin $(BIN) -flights $(FLIGHTS) $(ARGS)

.PHONY: clean
clean: ## remove what was built; DATA stays
	rm -rf $(BIN)

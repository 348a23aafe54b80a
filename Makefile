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
CLUSTER_KILLS ?= 40
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
	$(CACHE)/bin/golangci-lint-v2.15.0 run ./...

.PHONY: crash
crash: build ## kill -9 the run KILLS times at random moments (SEED=n repeats a run) and compare what comes out
	go test ./tests/crash -count=1 -timeout 30m -v -args -almanac $(CURDIR)/$(BIN)/almanac -kills $(KILLS) -seed $(SEED)

.PHONY: e2e
e2e: build functions ## run the README's commands and read the result with other programs
	go test ./tests/e2e -count=1 -timeout 15m -args -almanac $(CURDIR)/$(BIN)/almanac -functions $(CURDIR)/$(BIN)

.PHONY: check
check: lint test crash e2e ## all that CI runs

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

# on-lab starts a form of the lab, runs tests of the cluster on it, and stops it whatever comes of them.
define on-lab
	@trap 'go run ./tests/lab down $(1)' EXIT; go run ./tests/lab up $(1); \
	go test ./tests/cluster -count=1 -timeout 60m -v -run '$(3)' -args -almanac $(CURDIR)/$(BIN)/almanac -functions $(CURDIR)/$(BIN) \
	  -lab $(CURDIR)/.cache/lab/$(2)/env $(4)
endef

.PHONY: cluster-check
cluster-check: build functions ## do the job on the lab's real servers, plain and secured, while each of them is killed, and compare with one process
	$(call on-lab,,plain,.)
	$(call on-lab,-secure,secure,TestJob)

.PHONY: cluster-crash
cluster-crash: build ## do it while CLUSTER_KILLS random servers of the plain lab and runs are killed (SEED=n repeats the choice)
	$(call on-lab,,plain,TestKilled,-kills $(CLUSTER_KILLS) -seed $(SEED))

.PHONY: bench-lab
bench-lab: build functions flights ## measure the job on the plain lab beside Kafka's performance tools, hdfs dfs -put and Spark's own client
	@trap 'go run ./tests/lab down' EXIT; go run ./tests/lab up; \
	go run ./tests/lab/bench -bin $(BIN) -flights $(FLIGHTS) $(ARGS)

.PHONY: clean
clean: ## remove what was built; DATA stays
	rm -rf $(BIN)

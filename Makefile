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
FUNCTIONS := calendar collect process validate store aggregate deliver serve source deadletter
GOLANGCI  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
MORE      ?= ansible/inventories/lab-m4.yml
IMAGES    := $(CACHE)/images
IMAGES_GO := go1.26.8
BASE      ?=
REGISTRY  ?=
INSECURE  ?=
OUT       ?= $(CACHE)/published/kustomization.yaml
GO_FILES  := $(shell find events functions tests -name '*.go' 2>/dev/null)
VERSION   := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION)

# Builds and tests with the same flags share what they compile.
export GOFLAGS := $(strip -trimpath $(GOFLAGS))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

.PHONY: functions-archive
functions-archive: build functions ## pack the programs of the functions for ansible-playbook functions.yml, with their checksum beside
	@mkdir -p $(CACHE)/functions
	tar --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwx,go=rx --directory $(BIN) almanac $(FUNCTIONS) \
	  | gzip -1n > $(CACHE)/functions/.archive
	@mv $(CACHE)/functions/.archive $(CACHE)/functions/almanac-functions.tar.gz
	@cd $(CACHE)/functions && sha512sum almanac-functions.tar.gz | cut -d ' ' -f 1 > almanac-functions.tar.gz.sha512

.PHONY: run
run: build ## replay half a year of real flights into tables and releases, then serve them
	@$(BIN)/almanac run --data $(DATA) $(ARGS)

.PHONY: test
test: tools ## run the unit and in-process tests
	go test ./...
	go test -C knative/images ./...
	go test -C tests/lab/modules/registry ./...

.PHONY: manifests-check
manifests-check: tools ## build the manifests of knative/ and hold them to schemas and rules, without a cluster
	cd tests/manifests && go test -count=1 ./...

.PHONY: lint
lint: tools ## run golangci-lint with every linter but those excluded with a reason
	@mkdir -p $(CACHE)/bin
	@test -x $(CACHE)/bin/golangci-lint-v2.15.0 || { GOBIN=$(CURDIR)/$(CACHE)/bin GOFLAGS=-mod=mod go install $(GOLANGCI) && \
	  mv $(CACHE)/bin/golangci-lint $(CACHE)/bin/golangci-lint-v2.15.0; }
	$(CACHE)/bin/golangci-lint-v2.15.0 run --allow-parallel-runners ./...
	cd knative/images && $(CURDIR)/$(CACHE)/bin/golangci-lint-v2.15.0 run --allow-parallel-runners ./...

.PHONY: crash
crash: build ## kill -9 the run KILLS times at random moments (SEED=n repeats a run) and compare what comes out
	go test ./tests/crash -count=1 -timeout 30m -v -args -almanac $(CURDIR)/$(BIN)/almanac -kills $(KILLS) -seed $(SEED)

.PHONY: e2e
e2e: build functions ## run the README's commands and read the result with other programs
	go test ./tests/e2e -count=1 -timeout 15m -args -almanac $(CURDIR)/$(BIN)/almanac -functions $(CURDIR)/$(BIN)

.PHONY: auth-check
auth-check: build functions ## test who is let in to the HTTP API with the tokens of a real issuer, OpenBao
	go test ./tests/e2e -count=1 -timeout 10m -v -run TestTokensOfARealIssuer -args -almanac $(CURDIR)/$(BIN)/almanac \
	-functions $(CURDIR)/$(BIN) -bao "$$(go run ./tests/lab bao)"

.PHONY: secrets-check
secrets-check: tools build functions ## test secrets, logins, pseudonyms, sealed blocks and policies with a real OpenBao (BENCH=1: and measure)
	ALMANAC_TEST_BAO="$$(go run ./tests/lab bao)" go test ./functions/internal/secret/... -count=1 -timeout 10m -v -run Real $(if $(BENCH),-bench 'Append|DataKey' -benchtime 3x)
	go test ./tests/e2e -count=1 -timeout 10m -v -run TestRealSealed -args -almanac $(CURDIR)/$(BIN)/almanac \
	-functions $(CURDIR)/$(BIN) -bao "$$(go run ./tests/lab bao)"

.PHONY: mlapp
mlapp: build ## let an application learn from releases beside almanac run, and anew from each that an event tells of (docs/mlapp.md)
	go test ./tests/mlapp -count=1 -timeout 15m -v -args -almanac $(CURDIR)/$(BIN)/almanac

DASHBOARDS := $(CURDIR)/$(CACHE)/dashboards

.PHONY: dashboards
dashboards: tools ## write the dashboards of Grafana into .cache/dashboards, from where the role grafana takes them
	@rm -rf $(DASHBOARDS)
	@go run -C ansible/dashboards . $(DASHBOARDS)

.PHONY: monitoring-check
monitoring-check: dashboards ## test the rules of Prometheus, the routes of alerts, runbooks and dashboards
	@tests/monitoring/check.sh $$(tests/monitoring/tools.sh $(CURDIR)/$(CACHE)/monitoring) $(DASHBOARDS)

.PHONY: monitoring-record
monitoring-record: tools ## start the servers that Prometheus asks, and write down anew which metrics they show; after make lab, whose jars it takes
	@tests/monitoring/record.sh $$(tests/monitoring/tools.sh $(CURDIR)/$(CACHE)/monitoring) $(abspath $(or $(ALMANAC_LAB_CACHE),.cache/lab/artifacts)) \
	$$(tests/monitoring/agent.sh $(CURDIR)/$(CACHE)/agent) "$$(go run ./tests/lab bao)"

# What mostly waits, for time or for servers, goes side by side, what takes longest early. A part is printed when it ends, but for those on a lab,
# which print to LIVE as they go.
LIVE := 1

.PHONY: check
check: ## all that CI runs
	@$(MAKE) --no-print-directory lint test
	@$(MAKE) --no-print-directory -j3 -Otarget LIVE=3 manifests-check monitoring-check lab-fetch check-plain crash e2e \
	  secrets-check auth-check mlapp ansible-check check-secured check-hdfs 3>&1
	@$(MAKE) --no-print-directory check-brokers

.PHONY: flights
flights: tools ## make the daily CSV files of all 3,000,000 flights in FLIGHTS, for benchmarks
	tests/samples/flights.sh $(FLIGHTS)

.PHONY: bench
bench: build flights ## measure the job beside DuckDB, five times each in turn
	go run ./tests/bench -almanac $(BIN)/almanac -flights $(FLIGHTS)

LAB_FORM := $(if $(SECURE),-secure) $(if $(ADDRESS),-address $(ADDRESS))
LAB_ONLY := $(if $(ONLY),-only $(ONLY))

.PHONY: lab
lab: tools ## start Kafka, HDFS, YARN and Spark on this machine (SECURE=1: with Kerberos, TLS and access rules; ONLY=kafka: some of them; ADDRESS=10.244.0.1: where pods reach them)
	go run ./tests/lab up $(LAB_FORM) $(LAB_ONLY)

.PHONY: lab-fetch
lab-fetch: tools ## fetch what the servers of the lab are started from, as make lab does too
	go run ./tests/lab fetch -secure

.PHONY: lab-status
lab-status: tools ## tell how each server of the lab is, and how to reach it
	@go run ./tests/lab status $(LAB_FORM) $(LAB_ONLY)

.PHONY: lab-check
lab-check: tools ## test the lab that runs: what it lets in, what it refuses (LONG=1: and that Spark outlives its delegation tokens)
	go test ./tests/lab -count=1 -timeout 20m -v -args -form $(if $(SECURE),secure,plain)$(if $(ADDRESS),-$(ADDRESS)) $(if $(LONG),-long)

.PHONY: lab-down
lab-down: tools ## stop the servers of the lab; their data stays
	go run ./tests/lab down $(LAB_FORM)

.PHONY: cluster
cluster: tools ## start Kubernetes with Knative on this machine, which takes root; built from pinned Go modules at first
	go run ./tests/lab cluster up

.PHONY: cluster-status
cluster-status: tools ## tell how the processes and deployments of the cluster are, and how to reach it
	@go run ./tests/lab cluster status

.PHONY: cluster-check
cluster-check: tools ## test the cluster that runs (OUTSIDE=plain-10.244.0.1: and that its pods reach that form of the lab)
	go test ./tests/lab -count=1 -timeout 20m -v -args -cluster $(if $(OUTSIDE),-outside $(OUTSIDE))

.PHONY: cluster-down
cluster-down: tools ## stop the cluster, and take its mounts and firewall rules away (WIPE=1: and its bridge and data)
	go run ./tests/lab cluster down $(if $(WIPE),-wipe)

# on-lab starts a lab, does something with it, and stops it whatever comes of that: its name, what names it to the lab, which servers are started
# (all if none), what is done. Each line that is printed begins with the name.
define on-lab
	@( trap 'go run ./tests/lab down $(2)' EXIT; go run ./tests/lab up $(2) $(3); $(4) ) 2>&1 | sed -u 's/^/$(1): /' >&$(LIVE)
endef

# on-cluster are tests of the whole job on a form of the lab.
on-cluster = go test ./tests/cluster -count=1 -timeout 120m -v -run '$(2)' -args -almanac $(CURDIR)/$(BIN)/almanac \
	-functions $(CURDIR)/$(BIN) -lab $(CURDIR)/.cache/lab/$(1)/env $(3)

# NODE is the address of the lab's Kubernetes, where its pods reach the lab's other servers.
NODE := 10.244.0.1

.PHONY: check-cluster
check-cluster: build images ## do the job on Kubernetes with Knative, amid pods that are killed, and compare with one process; it takes root
	@trap 'go run ./tests/lab down -address $(NODE); go run ./tests/lab cluster down' EXIT; \
	go run ./tests/lab cluster up; go run ./tests/lab up -address $(NODE); \
	$(MAKE) --no-print-directory publish REGISTRY=$(NODE):5000/almanac INSECURE=1; \
	go test ./tests/cluster -count=1 -timeout 90m -v -run TestKnative -args -almanac $(CURDIR)/$(BIN)/almanac -lab $(CURDIR)/.cache/lab/plain-$(NODE)/env \
	  -kube $(CURDIR)/.cache/lab/kube/env -published $(CURDIR)/$(CACHE)/published

.PHONY: deploy-check
deploy-check: build images ansible-tools deploy-tools ## put the functions on the lab's Kubernetes by ansible-playbook deploy.yml, and take them away; it takes root
	@trap 'go run ./tests/lab down -address $(NODE); go run ./tests/lab cluster down' EXIT; \
	go run ./tests/lab cluster up; go run ./tests/lab up -address $(NODE); \
	$(MAKE) --no-print-directory publish REGISTRY=$(NODE):5000/almanac INSECURE=1; \
	go test ./tests/cluster -count=1 -timeout 90m -v -run TestDeploy -args -almanac $(CURDIR)/$(BIN)/almanac -lab $(CURDIR)/.cache/lab/plain-$(NODE)/env \
	  -kube $(CURDIR)/.cache/lab/kube/env -published $(CURDIR)/$(CACHE)/published -playbook $(ANSIBLE)/ansible-playbook

.PHONY: deploy-check-secured
deploy-check-secured: build images ansible-tools deploy-tools ## the same beside the machines of INVENTORY, furnished by site.yml, over TLS and Kerberos: with Secrets of Kubernetes, then with those of OpenBao; it takes root
	@trap 'go run ./tests/lab cluster down' EXIT; \
	go run ./tests/lab cluster up; \
	$(MAKE) --no-print-directory publish REGISTRY=$(NODE):5000/almanac INSECURE=1; \
	go test ./tests/cluster -count=1 -timeout 180m -v -run TestSecuredDeploy -args -almanac $(CURDIR)/$(BIN)/almanac -kube $(CURDIR)/.cache/lab/kube/env \
	  -published $(CURDIR)/$(CACHE)/published -playbook $(ANSIBLE)/ansible-playbook -inventory $(CURDIR)/ansible/inventories/$(INVENTORY)

HDFS_ONLY := -only namenode,datanode1,datanode2
BROKERS := kafka,kafka2,kafka3

# What kills servers of HDFS by the hundred has a lab of its own, beside the others.
.PHONY: check-servers
check-servers: ## test the adapters and do the whole job on the lab's servers, plain and secured, amid faults, and compare with one process
	@$(MAKE) --no-print-directory -j3 check-plain check-hdfs check-secured
	@$(MAKE) --no-print-directory check-brokers

.PHONY: check-hdfs
check-hdfs: build lab-fetch ## the part of check-servers that HDFS's suite is, with a lab of its own
	$(call on-lab,hdfs,-beside,$(HDFS_ONLY),tests/lab/suites.sh plain-beside hdfs)

.PHONY: check-plain
check-plain: build functions lab-fetch ## the part of check-servers on the plain lab
	$(call on-lab,plain,,,tests/lab/suites.sh plain kafka spark; $(call on-cluster,plain,.))

.PHONY: check-secured
check-secured: build functions lab-fetch ## the part of check-servers on the secured lab
	$(call on-lab,secure,-secure,,tests/lab/suites.sh secure kafka hdfs spark; $(call on-cluster,secure,TestJob|TestFaults,-faults 6))

# Who leads is moved several times a second, which other work on the same cores would make a matter of luck.
.PHONY: check-brokers
check-brokers: build lab-fetch ## the part of check-servers that has three secured brokers, whose leaders are moved
	$(call on-lab,brokers,-secure -beside,-only $(BROKERS),tests/lab/suites.sh secure-beside brokers)

FORM := $(if $(SECURE),secure,plain)

.PHONY: crash-servers
crash-servers: build functions ## do a part of the job amid FAULTS random faults on the lab (SEED=n repeats their choice, SECURE=1 takes the secured form)
	$(call on-lab,$(FORM),$(if $(SECURE),-secure),,$(call on-cluster,$(FORM),TestFaults,-faults $(FAULTS) -seed $(SEED)))

.PHONY: bench-lab
bench-lab: build functions flights ## measure the job on the plain lab beside Kafka's performance tools, Kafka Connect, hdfs dfs -put and Spark's own client
	@trap 'go run ./tests/lab down' EXIT; go run ./tests/lab up; \
	go run ./tests/lab/bench -bin $(BIN) -flights $(FLIGHTS) $(ARGS)

# Other versions of Go give other bytes, so images are built by one that is fixed here.
on-images = GOTOOLCHAIN=$(IMAGES_GO) go run -C knative/images . $(1) $(if $(INSECURE),-insecure)

.PHONY: images
images: tools ## build the container image of each function with ko, for amd64 and arm64, into .cache/images (BASE=image: on another base)
	@$(call on-images,build) -root $(CURDIR) -to $(CURDIR)/$(IMAGES) $(if $(BASE),-base $(BASE)) $(FUNCTIONS)

.PHONY: images-check
images-check: images ## look into the images, start them, and build them again in another folder, one from nothing
	go test ./tests/images -count=1 -timeout 40m -v -args -images $(CURDIR)/$(IMAGES) -functions '$(FUNCTIONS)' -cold calendar

.PHONY: publish
publish: tools ## push what make images has built to REGISTRY=host:port/prefix (INSECURE=1: plain HTTP), and write OUT for kustomize
	@$(call on-images,publish) -from $(CURDIR)/$(IMAGES) -registry '$(REGISTRY)' -out $(abspath $(OUT))

# What Ansible needs on this machine, in the versions that are pinned.
ANSIBLE   := $(CURDIR)/$(CACHE)/ansible/bin
INVENTORY ?= lab

.PHONY: ansible-tools
ansible-tools: $(CACHE)/ansible/.pinned ## install Ansible and its linters into .cache/ansible

$(CACHE)/ansible/.pinned: ansible/requirements.txt
	@mkdir -p $(CACHE)
	python3 -m venv $(CACHE)/ansible
	$(ANSIBLE)/pip install -q --disable-pip-version-check -r ansible/requirements.txt
	@touch $@

KUSTOMIZE := v5.7.1

.PHONY: deploy-tools
deploy-tools: $(CACHE)/bin/kustomize-$(KUSTOMIZE) ## build kustomize, which ansible-playbook deploy.yml needs, into .cache/bin

# That of kubectl 1.34, and of make manifests-check.
$(CACHE)/bin/kustomize-$(KUSTOMIZE): | tools
	@mkdir -p $(CACHE)/bin
	GOBIN=$(CURDIR)/$(CACHE)/bin GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE)
	@mv $(CACHE)/bin/kustomize $@

.PHONY: ansible-check
ansible-check: ansible-tools ## hold ansible/ to its linters, its syntax, and each role's defaults to what it says of them
	cd ansible && $(ANSIBLE)/yamllint .
	cd ansible && PATH=$(ANSIBLE):$$PATH ansible-lint --offline --nocolor -q
	cd ansible && $(ANSIBLE)/python3 -c 'import sys, jinja2; [jinja2.Environment().parse(open(f).read(), filename=f) for f in sys.argv[1:]]' $$(find roles -name '*.j2')
	cd ansible && for i in inventories/*/; do for p in $(filter-out requirements.yml,$(notdir $(wildcard ansible/*.yml))); do $(ANSIBLE)/ansible-playbook -i $$i --syntax-check $$p >/dev/null; done; done
	go test ./tests/machines -count=1

.PHONY: machines
machines: ansible-tools build ## start the Debian machines of INVENTORY=lab (one: a single machine) on this host, which takes root
	tests/machines/archives.sh $(CACHE)/machines/artefacts kafka openbao hadoop spark iceberg jmx
	cd ansible && $(ANSIBLE)/ansible-playbook -i inventories/$(INVENTORY) lab.yml

# With CAPTURE=1 tests of machines listen by tcpdump, that of Debian's package where none is installed.
LISTENING = $(if $(CAPTURE),PATH=$$(tests/machines/tcpdump.sh $(CACHE)/tcpdump):$$PATH)

.PHONY: machines-check
machines-check: ansible-tools ## ask the machines of INVENTORY, furnished by site.yml, what they let in and what they refuse (CAPTURE=1: and look for words in what passes, by tcpdump, as root)
	$(LISTENING) go test ./tests/machines -count=1 -timeout 120m -v -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) -ansible $(ANSIBLE)/ansible-inventory \
	  $(if $(CAPTURE),-capture)

.PHONY: kernel-check
kernel-check: ansible-tools ## ask the machines of inventories/kernel, made by tests/machines/kernel.sh and furnished by site.yml, for what machines of lab.yml, which are containers, have not: disks, clock, audit, WireGuard (AFTER=cut: after their plug was pulled; AFTER=destroy: after destroy.yml)
	$(LISTENING) go test ./tests/machines -count=1 -timeout 60m -v -run '$(if $(filter destroy,$(AFTER)),NothingIsLeft|TestTheDisk,TestTheKernel|TestTheClock|TestWireGuard|TestTheDisk|AuditRules|SSH)' \
	  -args -inventory $(CURDIR)/ansible/inventories/kernel -ansible $(ANSIBLE)/ansible-inventory $(if $(CAPTURE),-capture) $(if $(filter cut,$(AFTER)),-cut) $(if $(filter destroy,$(AFTER)),-bare)

.PHONY: scale-check
scale-check: ansible-tools build ## add the machine that the file MORE of an inventory names to the machines of INVENTORY, drain it, and compare all records and files
	go test ./tests/machines -count=1 -timeout 180m -v -run TestAMachineComesAndGoes -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) \
	  -ansible $(ANSIBLE)/ansible-inventory -more $(abspath $(MORE))

.PHONY: packages-check
packages-check: ansible-tools build ## have apt tell of newer packages on the machines of INVENTORY, upgrade to them, and go back
	go test ./tests/machines -count=1 -timeout 60m -v -run TestPackagesGoThereAndBack -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) \
	  -ansible $(ANSIBLE)/ansible-inventory -packages

.PHONY: anew-check
anew-check: ansible-tools ## make all secrets of the site of INVENTORY anew, and see that those of before let nobody in and the new ones do
	go test ./tests/machines -count=1 -timeout 120m -v -run TestSecretsAreMadeAnew -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) \
	  -ansible $(ANSIBLE)/ansible-inventory -anew

# on-backups are tests of the backups of a site: which, and what else they are told.
on-backups = go test ./tests/machines -count=1 -timeout 240m -v $(1) -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) \
	-ansible $(ANSIBLE)/ansible-inventory -backups $(2)

.PHONY: backup-check
backup-check: ansible-tools build ## back up the machines of INVENTORY, drill it, harm copies of it; let go of old ones of another repository; seal a server of OpenBao and open it by wrong and right keys
	$(call on-backups,-run 'ABackup|NeverGoesOver|Retention|UnsealKeys')

.PHONY: destroyed-check
destroyed-check: ansible-tools build ## ask the machines of INVENTORY, which destroy.yml has just emptied, what is left, and have them refuse backups that are harmed and keys that do not fit
	$(call on-backups,-run 'NothingIsLeft|ABadBackup',-bare)

.PHONY: restore-check
restore-check: ansible-tools build functions-archive ## back up the machines of INVENTORY amid a job, LOSE THEM AND THEIR DATA, restore onto new ones of lab.yml, and go on with the job (EMPTY=folder of an inventory: restore onto those instead; KILL=10m: kill the restore once)
	$(call on-backups,-run BringsAllBack,-almanac $(CURDIR)/$(BIN)/almanac $(if $(EMPTY),-empty $(abspath $(EMPTY)),-lose) $(if $(KILL),-kill $(KILL)))

.PHONY: check-machines
check-machines: ansible-tools build ## do the job of two months on the machines of INVENTORY, furnished by functions.yml too, amid restarts and kills (SEED=n repeats their choice), and compare with one process (CAPTURE=1: and look for names in what passes, by tcpdump, as root)
	$(LISTENING) go test ./tests/machines -count=1 -timeout 90m -v -run 'TestJobOnMachines|TestNoPersonalValue' -args -inventory $(CURDIR)/ansible/inventories/$(INVENTORY) \
	  -ansible $(ANSIBLE)/ansible-inventory -almanac $(CURDIR)/$(BIN)/almanac -seed $(SEED) $(if $(CAPTURE),-capture)

.PHONY: machines-sequence
machines-sequence: ansible-tools build ## take the machines of INVENTORY from bare Debian through their life, STEPS of it if not all (tests/machines/sequence.sh); it takes root
	tests/machines/sequence.sh $(INVENTORY) $(STEPS)

.PHONY: machines-down
machines-down: ansible-tools ## stop the machines of INVENTORY; their disks stay (WIPE=1: and remove them, with the bridge)
	cd ansible && $(ANSIBLE)/ansible-playbook -i inventories/$(INVENTORY) lab.yml -e nspawn_state=$(if $(WIPE),absent,stopped)

.PHONY: clean
clean: ## remove what was built; DATA stays
	rm -rf $(BIN)

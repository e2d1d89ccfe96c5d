# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/ringwall/ringwall/cli/host.Version=$(VERSION)
DATA    ?= ./var
ARGS    ?=
CONSOLE ?= yes

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: up
up: build ## build and run agent and brain in one process; Ctrl-C ends it
	bin/ringwall up --data $(DATA) $(ARGS)

.PHONY: down
down: ## take every trace out of kernel and firewall, put moved files back
	@if [ -x bin/ringwall ]; then bin/ringwall off --data $(DATA); else echo "nothing built, nothing to undo"; fi

.PHONY: build
build: ## bin/ringwall (all roles) and bin/ringwall-agent (static), also for arm64
	@scripts/need build
	@[ "$(CONSOLE)" = no ] || scripts/console
	CGO_ENABLED=1 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ringwall ./cmd/ringwall
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ringwall-agent ./cmd/ringwall-agent

.PHONY: arm64
arm64: ## bin/ringwall-agent-arm64, cross-built
	CGO_ENABLED=0 GOARCH=arm64 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ringwall-agent-arm64 ./cmd/ringwall-agent

.PHONY: test
test: build ## all tests; those that need root run when root and skip, saying so, when not
	@scripts/need test
	scripts/console check
	go vet ./...
	go test ./...

# Packages whose goroutines share state. The sensors that wait for the kernel are left to
# `make test`, and to both roles composed: the detector slows them below its storms. Kills of a
# process prove what is on disk, not who shares memory.
RACE := ./event/... ./funnel ./health ./spool ./bundle ./identity ./intel/... ./decide ./bus ./graph ./ledger ./archive ./behaviour ./brain ./agent ./api/... ./respond ./network ./file ./sense/packet ./cli

.PHONY: race
race: ## tests of the packages with shared state, and agent and brain composed, under the race detector
	CGO_ENABLED=1 go test -race -short -skip '^TestKill' $(RACE)
	RINGWALL_RACE=1 go test -short ./proving/faults -run '$(RACED)'

# Both roles as built with the detector, on a live kernel, over kills: proving/faults.
RACED := TestNobody|TestLostBus|TestKillInTheMiddle|TestOff$$/up_runs

.PHONY: lint
lint: ## staticcheck, and govulncheck where its database can be reached
	go tool staticcheck ./...
	scripts/vulncheck

.PHONY: range
range: build ## the proving ground: web-upload and ordinary-day (needs root)
	@scripts/need test
	bin/ringwall range run proving/scenarios/web-upload.yaml $(ARGS)
	bin/ringwall range run proving/scenarios/ordinary-day.yaml --minutes 2 $(ARGS)

.PHONY: kernels
kernels: ## boot Debian's kernels under QEMU, try every hook there, write docs/kernels.md (root, a quarter of an hour each)
	@scripts/need kernels
	proving/guest/kernels.sh $(DATA)/kernels bullseye bookworm trixie
	RINGWALL_GUEST=$(abspath $(DATA))/kernels go test ./proving/guest -run TestKernels -v -timeout 8h -update $(ARGS)

.PHONY: judge
judge: build ## the long measures into docs/benchmarks.md (root, hours); goes on where it was stopped; ARGS='-again cost'
	@scripts/need judge
	go run ./proving/judge $(ARGS)

.PHONY: demo
demo: build ## watch a recorded intrusion being seen, traced and answered (no root)
	bin/ringwall demo

.PHONY: clean
clean: ## remove what make built
	rm -rf bin console/web/node_modules console/dist/assets console/dist/index.html console/dist/sum

# `make` lists the targets.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check tools docs manifests screenshots protos \
  conformance differential explained surface reference-suite exactness replayed rlqs \
  bench bench-cluster bench-faults bench-floors bench-page bench-quota bench-reload bench-restart bench-rlqs bench-simulate \
  bench-soak bench-store

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv with the pinned dependencies and .venv/bin/ratelimit

$(STAMP): pyproject.toml constraints.txt .ci/setup
	@.ci/setup $(VENV)
	@touch $@

demo: setup ## The catalog example with a real Envoy and an embedded Valkey (KEEP=1 leaves it running)
	@$(BIN)/python -m deploy.demo

test: setup ## Every test in random order, with the coverage gate (ARGS= goes to pytest, SEED= repeats an order)
	@SEED=$(SEED) .ci/test $(ARGS)

check: setup ## Formatting, lint, spelling, types and the wire contract
	@.ci/check

tools: setup ## helm, kustomize, promtool and Istio's schemas for the tests of deploy/, into build/tools (needs Go; minutes, once)
	@$(BIN)/python -m tests.go_programs

docs: setup ## Write the tables of docs/configuration.md and deploy/settings.env, from the settings
	@$(BIN)/python -m ratelimit.settings.document

manifests: setup ## Make anew what chart, kustomize base and the two clusters have of deploy/kubernetes and the folders beside
	@$(BIN)/python -m deploy.copies
	@$(BIN)/python -m deploy.multicluster

screenshots: setup ## The pictures of the page in docs/screenshots (needs Chromium; takes a little more than a minute)
	@$(BIN)/python -m tests.screenshots

conformance: setup ## h2spec, ghz and grpc-go's interop client against the server (needs Go; builds them into build/)
	@$(BIN)/python -m tests.wire.independent

differential: setup ## SCENARIOS= (500) random ones on our server and on the reference's (needs Go and its module)
	@$(BIN)/python -m tests.differential

surface: setup ## Ours beside envoyproxy/ratelimit: every spelling of every variable, codes and bodies (needs Go and its module)
	@$(BIN)/python -m tests.differential.surface

reference-suite: setup ## The reference's own integration tests against our server (needs Go, redis-server, memcached)
	@$(BIN)/python -m tests.reference_suite

bench: setup ## The load test beside a bare server and PEER_CMD= (the reference's binary); REPORT= is the report's folder
	@$(BIN)/python -m loadtest.bench

bench-faults: setup ## A stopped store under RATE= (5,000) calls a second, and three times what a store can do
	@$(BIN)/python -m loadtest.bench_faults

bench-floors: setup ## What a request costs in our own floors, beside a bare loop (ROUNDS= sizes it)
	@$(BIN)/python -m loadtest.bench_floors

bench-page: setup ## What an open page takes of a worker at RATE= (50,000) calls a second, 10,000 limits (ROUNDS=, SECONDS=)
	@$(BIN)/python -m loadtest.bench_page

bench-quota: setup ## The quota allocator in a dozen scenarios, and what it costs (BUCKETS=, SEED=): minutes
	@$(BIN)/python -m loadtest.bench_quota

bench-rlqs: setup ## BUCKETS= (1,000) limits over ENVOYS= (100): what a report waits, CPU, memory, ShouldRateLimit beside it
	@$(BIN)/python -m loadtest.bench_rlqs

bench-reload: setup ## Two instances that reload 20,000 descriptors under load: loop lag, failed calls
	@$(BIN)/python -m loadtest.reload

bench-restart: setup ## Two instances are replaced under CALLS= (100,000) calls of every kind of client: none may fail
	@$(BIN)/python -m loadtest.restart

bench-simulate: setup ## How many lines a second `ratelimit simulate` replays, by kind of log (LINES= sizes the logs)
	@$(BIN)/python -m loadtest.bench_simulate

bench-soak: setup ## MINUTES= (10) of unique values and connections that come and go: memory, files, tasks, loop lag
	@$(BIN)/python -m loadtest.soak

bench-store: setup ## What a decision costs the store: CPU, scripts, bytes per counter (REQUESTS= sizes it)
	@$(BIN)/python -m loadtest.bench_store

bench-cluster: setup ## One worker on a Cluster of three nodes beside a single one, mixed keys (ROUNDS=, SECONDS=)
	@$(BIN)/python -m loadtest.bench_cluster

rlqs: setup ## One limit over ENVOYS= (2,10) real Envoys, and SIMULATED= (10,100) on two replicas, SECONDS= (40), restarts
	@$(BIN)/python -m loadtest.rlqs

exactness: setup ## REQUESTS= (1,000,000) on three instances, RUNS= (1,000) fault runs: every count held against the store
	@$(BIN)/python -m tests.exactness

explained: setup ## What `explain` says, held against what the service does, for 11,250 random requests
	@$(BIN)/python -m tests.differential.explained

replayed: setup ## A log of LINES= (1,000,000) replayed, and the service asked the same: every count must agree
	@$(BIN)/python -m tests.differential.replayed $(or $(LINES),1000000)

protos: setup ## Lint protos/ and generate ratelimit/pb anew, with buf
	@$(BIN)/python protos/generate.py

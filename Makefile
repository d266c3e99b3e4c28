# Isobar. `make` alone says what there is.
# `demo`, `run` and `test` share one profile (dev), so that what they stand on is compiled once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CARGO ?= cargo
# Arguments of the program: `make demo ARGS=--keep`; of the test runner: `make test TESTS="-p isobar-model"`.
ARGS ?=
TESTS ?= --workspace
# Of `make bench-forecast`: the tracks scored, further folders of forecasts to score beside ours (NAME__TRACK.jsonl.gz), the folder that a page with
# plots goes to (none: no page), seconds of fitting that peers are given (0: no peers).
TRACKS ?= examples/tracks
PEERS ?=
DOCS ?=
PEERS_BUDGET_S ?= 180

# Of `make bench-placement`: random starts; the folder of traces that are not in the repository, laid out as tests/bench/placement.py says; which traces.
SEEDS ?= 8
DATA ?=
TRACES ?=

# Guests are workspaces of their own, with target folders of their own: a cdylib's file carries no hash, so that two workspaces that build the
# same guest natively would overwrite each other's, and Cargo would not notice.
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
POLICIES := --manifest-path policies/Cargo.toml --target-dir $(TARGET_DIR)/policies
# Every workspace in the repository, for the formatter.
WORKSPACES := $(sort Cargo.toml policies/Cargo.toml $(wildcard tests/guests/Cargo.toml sdk/*/tests/guests/Cargo.toml examples/*/Cargo.toml))

# nextest, where installed, runs each test in a process of its own; otherwise the runner that comes with Cargo.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS := nextest run --no-fail-fast
else
RUN_TESTS := test --no-fail-fast
endif

.PHONY: help
help: ## Say what there is.
	@echo "Isobar: a sharded, replicated key-value store whose placement brain is yours."
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|'

# `--bin`, not `-p`: so the features of the whole workspace hold, and what `make test` has built serves here.
.PHONY: demo
demo: guest-toolchain ## The main job, on an embedded cluster and a real trace; ARGS=--keep leaves it up.
	$(CARGO) run --bin isobar -- demo $(ARGS)

.PHONY: run
run: guest-toolchain ## Start an embedded cluster and stay.
	$(CARGO) run --bin isobar -- dev $(ARGS)

.PHONY: test
test: guest-toolchain ## Every test: the policies' native cores, then the host's workspace with its real processes.
	$(CARGO) $(RUN_TESTS) $(POLICIES) --workspace
	$(CARGO) $(RUN_TESTS) $(TESTS)

BENCH := target/bench
BENCH_VENV := $(BENCH)/venv

.PHONY: bench-forecast
bench-forecast: guest-toolchain ## Forecasters on real load, beside what people use today; DOCS=docs writes the page.
	$(CARGO) build --example bench_forecast
	@sh tests/bench/peers.sh $(BENCH_VENV) $(TRACKS) $(BENCH)/peers $(PEERS_BUDGET_S)
	$(CARGO) run --quiet --example bench_forecast -- --tracks $(TRACKS) --out $(BENCH) \
	  --peers $(BENCH)/peers $(foreach folder,$(PEERS),--peers $(folder)) $(if $(DOCS),--docs $(DOCS))

.PHONY: bench-plan
bench-plan: guest-toolchain ## The placer on clusters of up to a million shards, beside Meta's Rebalancer.
	$(CARGO) build --example bench_plan
	@sh tests/bench/rebalancer.sh $(BENCH)/venv-rebalancer
	$(CARGO) run --quiet --example bench_plan -- --out $(BENCH) --python $(BENCH)/venv-rebalancer/bin/python

.PHONY: bench-placement
bench-placement: guest-toolchain ## What forecasting is worth to placement, on real load (an hour and a half with all defaults); DATA=FOLDER has more traces.
	$(CARGO) build --workspace --bin isobar --example elastic
	python3 tests/bench/placement.py --isobar $(TARGET_DIR)/debug/isobar --elastic $(TARGET_DIR)/debug/examples/elastic --out $(BENCH) --seeds $(SEEDS) \
	  $(if $(DATA),--data $(DATA)) $(if $(TRACES),--traces $(TRACES)) $(if $(DOCS),--docs $(DOCS))

.PHONY: check
check: format lint licences ## Format, lints, licences and advisories. Changes nothing.

.PHONY: format
format: ## Only the format.
	@for manifest in $(WORKSPACES); do \
	  echo "$(CARGO) fmt --manifest-path $$manifest --all --check"; \
	  $(CARGO) fmt --manifest-path $$manifest --all --check; \
	done

.PHONY: lint
lint: guest-toolchain ## Only the lints.
	$(CARGO) clippy $(POLICIES) --workspace --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: licences
licences: ## Only licences, advisories and banned crates, where cargo-deny is installed.
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny check; \
	  $(CARGO) deny --manifest-path policies/Cargo.toml check --config $(CURDIR)/deny.toml; \
	else \
	  echo "cargo-deny is not installed: licences and advisories go unchecked. To install it: cargo install --locked cargo-deny"; \
	fi

.PHONY: guest-toolchain
guest-toolchain: ## See to it that policies can be built to WebAssembly.
	@sh sdk/guest-build/toolchain.sh

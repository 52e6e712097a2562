# Sentry's verbs. `make demo` and `make test` install what they lack (scripts/setup); everything else assumes they ran.
.DEFAULT_GOAL := help
SHELL := /bin/bash

CARGO ?= cargo
FUZZ_SECONDS ?= 600
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DEBUG_BIN := $(TARGET_DIR)/debug/sentry-profiled
RELEASE_BIN := $(TARGET_DIR)/release/sentry-profiled

# The end-to-end tests trace processes that are not their children: as another user than root, the test programs (not
# the compiler) run through sudo.
ifneq ($(shell id -u),0)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER ?= sudo -E
endif
# What scripts/setup installs for the tests: vroomrs, Sentry's own processing of chunks.
export SENTRY_PROFILED_VENV ?= $(TARGET_DIR)/venv

.PHONY: help all check test style format lint doc deny e2e fuzz bench fault systemd pods demo setup

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

all: check test e2e ## Everything that has to hold before a change is landed

check: style lint doc deny ## All that needs no running program

setup: ## Install what the build, the tests and the demo need (Debian; root or sudo)
	@scripts/setup tests

demo: ## Build, and profile a real program: perl on an access log
	@scripts/setup demo
	$(CARGO) build --release --locked --bin sentry-profiled
	@scripts/demo $(RELEASE_BIN)

test: setup ## Build, and run every test
	$(CARGO) build --workspace --locked --bin sentry-profiled
	SENTRY_PROFILED_BIN=$(DEBUG_BIN) $(CARGO) test --workspace --locked --no-fail-fast

e2e: ## The end-to-end tests against the release build
	$(CARGO) build --release --locked --bin sentry-profiled
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) test --package tests --locked --no-fail-fast

style: ## Check the formatting
	$(CARGO) fmt --all -- --check

format: ## Format
	$(CARGO) fmt --all

lint: ## Clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc: ## Check the documentation, private items too
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --document-private-items --locked

deny: ## Licences, bans and sources of the dependencies, where cargo-deny is installed
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline --all-features check licenses bans sources; \
	else echo "cargo-deny is not installed: licences, bans and sources not checked"; fi

systemd: ## Boot a Debian 12 with the package in it (root, debootstrap, systemd-container, cargo-deb)
	$(CARGO) build --release --locked --bin sentry-profiled
	systemd/deb/build $(TARGET_DIR)/debian --fast --strip
	tests/systemd/run --deb "$$(ls -t $(TARGET_DIR)/debian/*.deb | head -1)" --cache $(TARGET_DIR)/systems

pods: ## Run the image beside containers of other Debian suites, and check the manifests (root, buildah, podman, runc, debootstrap)
	$(CARGO) build --release --locked --bin sentry-profiled
	tests/kubernetes/run --agent $(RELEASE_BIN) --cache $(TARGET_DIR)/systems
	tests/kubernetes/validate --cache $(TARGET_DIR)/validators --agent $(RELEASE_BIN)

fuzz: ## Every fuzz target for FUZZ_SECONDS (600)
	@scripts/fuzz $(FUZZ_SECONDS)

bench: ## The benches behind docs/measurements.md: us, the rival, the ratio
	@scripts/setup bench
	$(CARGO) build --release --locked --bin sentry-profiled
	$(CARGO) bench --package benches --locked
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) run --release --locked --package benches --bin stop-window
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) run --release --locked --package benches --bin serve-load
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) run --release --locked --package benches --bin store-answers
	$(CARGO) build --release --locked --package benches --bin parca-hour
	benches/scripts/against-parca $(TARGET_DIR)/release/parca-hour
	benches/scripts/sleepers $(RELEASE_BIN)
	benches/scripts/measure $(RELEASE_BIN)
	benches/scripts/against-eu-stack $(RELEASE_BIN)

fault: ## 200 times kill -9 of the agent against a busy, signalled target, 1,000 times of serve while it is sent to
	$(CARGO) build --release --locked --bin sentry-profiled
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) run --release --locked --package tests --bin fault-run
	SENTRY_PROFILED_BIN=$(RELEASE_BIN) $(CARGO) run --release --locked --package tests --bin serve-fault

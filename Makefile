# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CARGO ?= cargo
PIPELINE ?= configs/pipelines/direction-1h-lightgbm.toml
OUT ?= out/demo
PLUGINS := .fusebox/plugins
KEYS := .fusebox/keys
FUSEBOX := target/release/fusebox

# Reloads of `make soak`.
SOAK_RELOADS ?= 10000
# Random sequences of `make sequences`.
SEQUENCES ?= 100000
# Seconds that `make fuzz` spends on each target.
FUZZ_SECONDS ?= 300
FUZZ_VERSION := 0.13.2
FUZZ_TARGETS := manifest elf_note hostile_table state_blob worker_ring

# `make demo` runs on the simulated market; `make demo DATA=DIR` runs on the candles in DIR.
ifdef DATA
DATA_FLAGS := --data $(DATA)
else
DATA_FLAGS := --set data.source=simulated
endif

.PHONY: help demo test bench fuzz leaks million soak sequences check setup build reference clean need-cargo need-python need-cc

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: build ## Train, backtest and report; DATA=DIR for real candles, OUT=DIR for the result
	$(FUSEBOX) run $(PIPELINE) $(DATA_FLAGS) --out $(OUT) --overwrite
	@echo "Report: $(OUT)/report.html"

test: setup ## Everything that must hold
	$(CARGO) build --workspace
	$(CARGO) test --workspace --no-fail-fast

bench: build ## Speed, as a table
	$(CARGO) bench -p fusebox-tests --bench fusebox

# A stable compiler takes the options of fuzzing with RUSTC_BOOTSTRAP; the address sanitizer is on.
fuzz: need-cargo need-cc ## Feed what comes from outside with noise; FUZZ_SECONDS per target (300)
	@$(CARGO) fuzz --version 2>/dev/null | grep -qF 'cargo-fuzz $(FUZZ_VERSION)' || \
	    $(CARGO) install cargo-fuzz --version $(FUZZ_VERSION) --locked
	for target in $(FUZZ_TARGETS); do \
	    mkdir -p tests/fuzz/corpus/$$target; \
	    RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz $$target \
	        tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -timeout=25 -rss_limit_mb=4096; \
	done

# The libraries are not instrumented, but what they took and did not get to give back is seen.
leaks: setup ## The gradient-boosting plugin's own code under the address and leak sanitizers
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
	    $(CARGO) test -p fusebox-gbm --test whole_life --target-dir target/leaks \
	    --target $$(rustc -vV | sed -n 's/host: //p')

# `make test` runs the same tests on fewer rows.
million: setup ## Flat trees and ONNX against the libraries on 1,000,000 rows; memory over as many answers
	FUSEBOX_FLAT_ROWS=1000000 $(CARGO) test -p fusebox-gbm --lib -- --nocapture flat:: onnx::
	FUSEBOX_ONNX_PREDICTIONS=1000000 $(CARGO) test -p fusebox-tests \
	    --test onnx_memory --test gbm_leaks -- --nocapture

soak: need-cargo need-cc ## Many reloads under load; SOAK_RELOADS of them (10000)
	FUSEBOX_SOAK_RELOADS=$(SOAK_RELOADS) $(CARGO) test -p fusebox-tests --test reload_soak -- --nocapture

sequences: need-cargo need-cc ## Random orders at the exchange and at its slow model; SEQUENCES of them (100000)
	PROPTEST_CASES=$(SEQUENCES) $(CARGO) test -p fusebox-engine --lib exchange::tests::against_model

check: ## Format, lints, licences (cargo-deny where it is installed)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed, licences not checked: cargo install cargo-deny"; fi

reference: need-python ## Regenerate tests/reference/data from the Python references
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --requirement tests/reference/requirements.txt
	for script in tests/reference/*.py; do \
	    case $$script in *mlfinpy*|*xgboost*|*/bench_*) ;; *) .venv/bin/python $$script ;; esac; done
	.venv/bin/pip install --quiet --no-deps --only-binary=:all: --python-version 3.13 \
	    --ignore-requires-python --target .venv/xgboost --upgrade xgboost-cpu==3.4.1
	PYTHONPATH=.venv/xgboost .venv/bin/python tests/reference/xgboost_parity.py
	$(PYTHON) -m venv .venv/mlfinpy
	.venv/mlfinpy/bin/pip install --quiet --requirement tests/reference/requirements-mlfinpy.txt
	.venv/mlfinpy/bin/python tests/reference/mlfinpy_labels.py

setup: need-cargo need-cc need-python ## Fetch the pinned native libraries into .fusebox/native
	$(PYTHON) plugins/native/fetch.py

build: setup ## The release binary and the plugins, signed with a key of this machine, under .fusebox
	$(CARGO) build --release -p fusebox -p fusebox-gbm -p fusebox-onnx
	@$(FUSEBOX) --quiet plugin keygen --out $(KEYS) --name local --if-missing
	@$(FUSEBOX) --quiet plugin trust add $(KEYS)/local.pub --role first-party
	$(FUSEBOX) plugin pack target/release/libfusebox_gbm.so --out $(PLUGINS) --replace \
	    --kind fb.model/1 --kind fb.learner/1 --license "MIT OR Apache-2.0" --key $(KEYS)/local.key
	$(FUSEBOX) plugin pack target/release/libfusebox_onnx.so --out $(PLUGINS) --replace \
	    --kind fb.model/1 --license "MIT OR Apache-2.0" --key $(KEYS)/local.key

clean: ## Remove what the commands above made
	rm -rf target out .fusebox .venv

need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.92 or newer (rustup)"; exit 1; }

need-cc:
	@command -v cc >/dev/null || { echo "cc is missing: install gcc (Debian: apt-get install gcc)"; exit 1; }

need-python:
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -m pip --version >/dev/null 2>&1 || \
	    { echo "Python 3 with pip is missing: install it (Debian: apt-get install python3-pip python3-venv)"; exit 1; }

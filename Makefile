# Everything happens in .venv, which the first target that needs it makes. Only Python >= 3.11 and make are required.

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# Two stamps, so that the demo does not wait for type checkers to be installed.
RUN := .venv/.run
DEV := .venv/.dev
# A third for one target alone, which most people never run.
MUTATION := .venv/.mutation
CONSTRAINTS := .ci/constraints.txt
# -qq: errors only. The constraints hold for the build backend too.
PIP := PIP_CONSTRAINT=$(CONSTRAINTS) PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq --no-input
# Arguments for the targets that take some: make test ARGS="-k queue", make demo ARGS="--seed 7".
ARGS ?=
# How often `make flake` runs its test: a failure in one run of fifty shows itself in 200 with a probability of 98 %.
N ?= 200
# Seeds of the storm in test-stress and test-all: two seconds each.
STORMS ?= 10
# Requests of the great storm, and workers made and killed, in the same two: a minute and a half, and five, on two cores.
GREAT ?= 100000
CYCLES ?= 10000
STRESS = --storms $(STORMS) --great-storm $(GREAT) --cycles $(CYCLES) -o faulthandler_timeout=1800
CHAOS ?=
# Mutants tried at a time.
JOBS ?= 2
MAX_LINES := 500
SOURCES = $(shell find trio_pool chaos -name '*.py')
TESTS = $(shell find tests docs/examples -name '*.py')

# flake8-async reads no configuration file, so its rules stand here. Left out everywhere: 106 (import style), 109 (`timeout` is
# the contract's name), 110 (ruff's), 122 (scopes count from entry since Trio 0.27), 127 (about an HTTP client nothing here uses),
# 300 (asyncio only), 400 (type checkers see it).
ASYNC_CORRECT := ASYNC100,ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC105,ASYNC111,ASYNC112,ASYNC115,ASYNC116,\
ASYNC118,ASYNC119,ASYNC120,ASYNC121,ASYNC123,ASYNC124,ASYNC125,ASYNC126,ASYNC128,ASYNC200,ASYNC210,ASYNC211,ASYNC212,ASYNC220,\
ASYNC221,ASYNC222,ASYNC230,ASYNC231,ASYNC232,ASYNC240,ASYNC250,ASYNC251,ASYNC401
# For the library and the harness also: no start_soon() in __aenter__ of what could be started with start(), no async generators,
# and a checkpoint on every path of an async function.
ASYNC_LIBRARY := $(ASYNC_CORRECT),ASYNC113,ASYNC114,ASYNC900,ASYNC910,ASYNC911,ASYNC912,ASYNC913
# The functions that take `task_status`; ASYNC114 asks for whichever is missing here.
ASYNC_STARTABLE := _run_child,own,run,run_worker
# Blocking calls that no function of Trio's replaces one for one, and those that reap a worker behind its owner's back.
ASYNC_BLOCKING := time.sleep->trio.sleep,subprocess.*->trio.run_process,os.wait->the handle,os.waitpid->the handle,os.wait3->the handle,os.wait4->the handle

# What is left out of `make test`: a minute of load and the faults of the testing strategy; `make test-all` has them.
LONG := load or chaos
PYTEST = $(BIN)/python -m pytest

.PHONY: help venv demo test test-fast test-protocol test-integration test-stress test-load test-chaos test-all coverage bench matrix docs \
	document guarantees harness mutation check ruff format async mypy pyright layers lines core-coverage flake clean

help:
	@echo 'make demo              run the demonstration: a pool of workers, killed and frozen while it serves (under 60 s)'
	@echo 'make test              layers 1-3 and the short storm of layer 4        [ARGS="-k name" for these and the next]'
	@echo 'make test-fast         layer 1: unit tests; no process                  (10 s)'
	@echo 'make test-protocol     layer 2: one part with real or scripted neighbours'
	@echo 'make test-integration  layer 3: real processes, end to end'
	@echo 'make test-stress       layer 4: storms of faults with more seeds, one of them of 100 000 requests; 10 000 workers'
	@echo '                       made and killed (10 minutes)                    [STORMS=10 GREAT=100000 CYCLES=10000]'
	@echo 'make test-load         layer 4: 100 users, 10 operations a second each, for 60 s'
	@echo 'make test-chaos        layer 4: crashes, memory pressure and delays under operations'
	@echo 'make test-all          all four layers, load and chaos included; says how many tests each ran'
	@echo 'make coverage          layers 1-3 with branch coverage of library and harness, workers included'
	@echo 'make bench             single session, ten sessions, session creation; a request and a start against bare ones'
	@echo 'make matrix            Python 3.11-3.13 as found x pools of 1, 4 and 16; load at 16   [CHAOS=1: chaos as well]'
	@echo 'make docs              the documentation, in docs/_build/html'
	@echo 'make document          break each item of the testing strategy on a copy and see its test fail  [ARGS="--only F-010"]'
	@echo 'make guarantees        break what holds up each guarantee on a copy and see its tests fail  [ARGS="--only 3"]'
	@echo 'make harness           take each guarantee away on a copy and see a scenario of chaos name it (5 minutes)  [ARGS="--only 3"]'
	@echo 'make mutation          test the tests of supervision with mutants of its modules (an hour or more)  [JOBS=2] [ARGS="--only roster"]'
	@echo 'make check             lint, types, layers, core coverage, module sizes, documentation'
	@echo 'make flake T=...       run one test 200 times, stop at its first failure  [N=200]'
	@echo 'make venv              make .venv with all that the above need'
	@echo 'make clean             remove .venv and everything generated'

venv: $(DEV)

$(RUN): pyproject.toml $(CONSTRAINTS)
	@for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "making .venv with $$("$$python" --version)"; \
			exec "$$python" -m venv --clear .venv; \
		fi; \
	done; \
	echo "error: no Python >= 3.11 among: $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11};" \
		'name one with PYTHON=/path/to/python3' >&2; \
	exit 1
	@$(PIP) -e .[chaos]
	@touch $@

$(DEV): $(RUN)
	@echo 'installing the development tools'
	@$(PIP) -e .[chaos,docs,dspy,testing,bench,dev]
	@touch $@

$(MUTATION): $(DEV)
	@echo 'installing what makes mutants'
	@$(PIP) -e .[chaos,docs,dspy,testing,bench,dev,mutation]
	@touch $@

demo: $(RUN)
	@$(BIN)/python -m chaos run first-light $(ARGS)

test: $(DEV)
	@$(PYTEST) -m 'not ($(LONG))' $(ARGS)

test-fast: $(DEV)
	@$(PYTEST) tests/unit $(ARGS)

test-protocol: $(DEV)
	@$(PYTEST) tests/component $(ARGS)

test-integration: $(DEV)
	@$(PYTEST) tests/system $(ARGS)

test-stress: $(DEV)
	@$(PYTEST) tests/stress -m 'not ($(LONG))' $(STRESS) $(ARGS)

test-load: $(DEV)
	@$(PYTEST) tests/stress -m load $(ARGS)

test-chaos: $(DEV)
	@$(PYTEST) tests/stress -m chaos $(ARGS)

# So many supervisors are tried beside a model of OTP's, and so many pools beside their model and in turmoil, other ones
# each time; elsewhere the tests' own numbers.
test-all: export TRIO_POOL_EXAMPLES := 2000
test-all: export TRIO_POOL_MODEL_EXAMPLES := 2000
test-all: $(DEV)
	@$(PYTEST) $(STRESS) --document-results .document-results.json $(ARGS)

# Under coverage a worker imports what no worker imports by itself, so the tests of what one imports are left out.
coverage: $(DEV)
	@rm -f .coverage.all*
	$(BIN)/coverage run --rcfile=.ci/coverage.toml -m pytest -q -m 'not ($(LONG)) and not bare_worker' $(ARGS)
	$(BIN)/coverage combine --rcfile=.ci/coverage.toml -q
	$(BIN)/coverage report --rcfile=.ci/coverage.toml

bench: $(DEV)
	@$(BIN)/python -m chaos bench $(ARGS)

matrix: $(RUN)
	@$(BIN)/python .ci/matrix.py $(if $(CHAOS),--chaos) $(ARGS)

docs: $(DEV)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

document: $(DEV)
	$(BIN)/python docs/document/mutate.py $(ARGS)

guarantees: $(DEV)
	$(BIN)/python docs/document/mutate.py --table docs/document/guarantees.toml $(ARGS)

harness: $(DEV)
	$(BIN)/python docs/document/harness.py $(ARGS)

mutation: $(MUTATION)
	$(BIN)/python .ci/mutation/campaign.py --jobs $(JOBS) $(ARGS)

# Separate targets, so that `make -k check` reports everything that is wrong at once.
check: ruff format async mypy pyright layers lines core-coverage docs

ruff: $(DEV)
	$(BIN)/ruff check --output-format concise

format: $(DEV)
	$(BIN)/ruff format --check

async: $(DEV)
	@echo 'flake8-async'
	@printf '%s\n' $(SOURCES) | xargs -P 2 -n 40 $(BIN)/flake8-async --enable='$(ASYNC_LIBRARY)' \
		--async200-blocking-calls='$(ASYNC_BLOCKING)' --startable-in-context-manager='$(ASYNC_STARTABLE)'
	@printf '%s\n' $(TESTS) | xargs -P 2 -n 40 $(BIN)/flake8-async --enable='$(ASYNC_CORRECT)' \
		--async200-blocking-calls='$(ASYNC_BLOCKING)'

mypy: $(DEV)
	$(BIN)/mypy

# The variable keeps pyright from asking the registry whether there is a newer one.
pyright: $(DEV)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

layers: $(DEV)
	$(BIN)/lint-imports --no-logo

# Without the harness's own tests: the core's must reach all of it, and half the time is saved.
core-coverage: $(DEV)
	$(BIN)/coverage run -m pytest -q -p no:cacheprovider tests/unit --ignore-glob='*/test_chaos_*'
	$(BIN)/coverage report

lines:
	@find trio_pool chaos tests docs -name '*.py' -exec awk 'END { if (NR > $(MAX_LINES)) { print FILENAME ": " NR " lines, at most $(MAX_LINES) are allowed"; exit 1 } }' {} \; \
		| { ! grep . ; }
	@echo 'no module exceeds $(MAX_LINES) lines'

flake: $(DEV)
	@test -n "$(T)" || { echo 'usage: make flake T=tests/unit/test_x.py::test_y [N=200]' >&2; exit 2; }
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; run=0; \
	while [ $$run -lt $(N) ]; do \
		run=$$((run + 1)); \
		if ! $(BIN)/python -m pytest -q -p no:cacheprovider '$(T)' >"$$log" 2>&1 </dev/null; then \
			cat "$$log"; echo "run $$run of $(N) failed: $(T)"; exit 1; \
		fi; \
	done; \
	echo "$(N) runs, none failed: $(T)"

clean:
	rm -rf .venv .matrix .coverage* .document-results.json docs/_build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist chaos-runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

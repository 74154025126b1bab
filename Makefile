# `make` alone lists the targets. Extra arguments go through ARGS:  make test ARGS="-k sharding"

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
JS     := tests/integration/js
# Of wheels only: to build from source would run tools that no hash was compared of.
LOCK   := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --only-binary :all: \
          --emit-build-options --generate-hashes --no-annotate --custom-compile-command "make lock"
WORKERS ?= 3# tests side by side: most of them wait most of the time

.DEFAULT_GOAL := help
.NOTPARALLEL:  # lint comes before the tests, also with -j
.PHONY: help setup demo run doctor test lint audit check bench drill long soak screenshots lock clean js

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## set up .venv with everything that tests and lint need
	@:

demo: $(VENV)/.run ## the hub on a simulated exchange: needs no network once set up
	@$(PY) app.py --simulate $(ARGS)

run: $(VENV)/.run ## the hub on the live exchange
	@$(PY) app.py $(ARGS)

doctor: $(VENV)/.run ## can the hub run here, and reach the exchange? Says what to do
	@$(PY) app.py --doctor $(ARGS)

test: setup js ## the tests (15 minutes): those that mostly wait side by side, then the others; what can't run here is named
	@for tool in chromium chromedriver nginx promtool prometheus systemd-analyze; do \
		PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || echo "skipped: tests that need $$tool, which is not installed"; \
	done
	@run() { $(PY) -m pytest "$$@" $(ARGS); code=$$?; [ $$code = 5 ] || none=0; [ $$code = 0 ] || [ $$code = 5 ] || failed=1; }; \
	none=5 failed=; run -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m "not alone and not long"; run -m "alone and not long"; \
	exit $${failed:-$$none}

long: setup js ## the tests that take 10 seconds or more each, one after the other
	@$(PY) -m pytest -m long $(ARGS)

lint: setup ## ruff, mypy and bandit
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m bandit -q -c pyproject.toml -r hub app.py wsgi.py docker

audit: setup ## known vulnerabilities of what is installed (needs pip-audit's service on the internet)
	@$(PY) -m tests.audit $(ARGS)

check: lint test ## lint, types, tests

bench: setup ## the benchmarks (20 minutes, two quiet cores); writes docs/benchmarks.md
	@$(PY) -m benchmarks $(ARGS)

drill: setup ## play every fault to a hub, writes docs/drills.md; ARGS="U16 A5" plays some
	@$(PY) -m tests.drills --write $(ARGS)

soak: setup ## make long and the long runs (an hour), or ARGS="a_crowd bombs"; writes docs/soak.md
	@[ -n "$(ARGS)" ] || $(MAKE) -s --no-print-directory long
	@$(PY) -m tests.soak $(ARGS)

screenshots: setup ## take the pictures of docs/ anew (4 minutes): look at them
	@$(PY) -m tests.browser.screenshots

lock: setup ## requirements*.lock from requirements*.txt: all that gets installed, with hashes; ARGS=--upgrade renews what is pulled in
	@$(LOCK) requirements.txt -o requirements.lock $(ARGS)
	@$(LOCK) requirements-dev.txt -c requirements.lock -o requirements-dev.lock $(ARGS)

clean: ## remove .venv, node_modules and caches
	@rm -rf $(VENV) $(JS)/node_modules benchmarks/sides/node/node_modules benchmarks/sides/.sdk .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: the demo needs no test tools. A .venv that can't be used (half made, older Python) is made anew.
$(VENV)/.run: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is: $$($(PYTHON) --version 2>/dev/null || echo missing). Try: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Setting up $(VENV) …"; $(PYTHON) -m venv --clear $(VENV); }
	@$(PIP) --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

js:
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null; then \
		echo "skipped: tests of the JavaScript client, because Node.js or npm is not installed"; \
	elif ! $(MAKE) -s --no-print-directory $(JS)/node_modules/.stamp; then \
		echo "skipped: tests of the JavaScript client, because npm could not install it"; test "$$CI" != true; fi

$(JS)/node_modules/.stamp: $(JS)/package.json
	@cd $(JS) && npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@

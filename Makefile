# README's two commands are `make run` and `make test`. Everything lives in .venv; repeating is quick when nothing changed.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
ROOMS := middleware store serving collector query_api cli
PACKAGES := $(ROOMS:%=-p apimetry.%)

.PHONY: run test torture host-suites check lock fmt bench build clean

run: .venv/installed
	@$(BIN)/apimetry serve

# The whole suite with the newest host frameworks, then the middleware's with the oldest that are supported.
test: .venv/installed-dev .venv-oldest/installed
	$(BIN)/pytest -n 2 --dist loadfile
	$(OLDEST)/pytest -n 2 --dist loadfile tests/middleware

# Real services under load, killed and lied to for SECONDS; SEED repeats a run, SOAK adds seconds with a kill a minute.
torture: .venv/installed-dev
	$(BIN)/python -m tests.torture --seconds $(or $(SECONDS),600) --soak $(or $(SOAK),0) $(SEED:%=--seed %)

# The frameworks' own test suites, bare and with the middleware around every application; they come from the index.
host-suites: .venv/installed-dev
	$(BIN)/python -m tests.host_suites

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	@PATH=$(BIN):$$PATH $(BIN)/python deploy/supply_chain.py audit

# The versions that the image is made of, anew from what pyproject.toml allows.
lock: .venv/installed-dev
	$(BIN)/pip install --quiet --group lock
	PATH=$(BIN):$$PATH $(BIN)/python deploy/supply_chain.py lock

fmt: .venv/installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/installed-dev
	@for benchmark in benchmarks/[a-z]*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

build: .venv/installed-dev
	$(BIN)/python -m build

clean:
	rm -rf .venv .venv-oldest dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[embedded]'
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[embedded]' --group dev
	@touch .venv/installed $@

.venv-oldest/installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST)/pip install --quiet --upgrade "pip>=25.1"
	$(OLDEST)/pip install --quiet --editable '.[embedded]' --group test --group hosts-oldest
	@touch $@

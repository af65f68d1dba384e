# Everything a newcomer needs: `make serve`, `make test`. Nothing here asks for root, Docker, Maven or Java.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIENTS := .venv-clients

.DEFAULT_GOAL := help
.PHONY: help install prepare clients serve demo test lint bench record conformance clean

help: ## Say what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Make .venv and install the package with everything it needs

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is " + sys.version) if sys.version_info < (3, 10) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

prepare: $(STAMP) ## Fetch the embedded OpenSearch and record its AOT cache (once)
	$(BIN)/mlcommons-tasks node prepare

serve: $(STAMP) ## Run the service at http://127.0.0.1:9201
	$(BIN)/mlcommons-tasks serve

demo: $(STAMP) ## Train KMEANS on iris, from nothing to COMPLETED, and show it
	$(BIN)/mlcommons-tasks demo

clients: $(CLIENTS)/lowest/.installed $(CLIENTS)/newest/.installed ## Make environments with the oldest and the newest official clients, for the tests

# Byte code is left to the first import: most of what is installed is never imported.
$(CLIENTS)/%/.installed: tests/official_clients/requirements-%.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary --requirement $<
	touch $@

test: prepare clients ## Run every test
	$(BIN)/python -m pytest

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: prepare ## Compare with the real plugin and write docs/benchmarks.md; ONLY=<part>, ORACLE='<command that starts it>'
	$(BIN)/python -m tests.bench $(ONLY:%=--only %) $(if $(ORACLE),--oracle '$(ORACLE)')

record: prepare ## Record anew what the real plugin answers; VERSION=2.19.1 JAVA=/path/to/jdk17/bin/java another version's
	$(BIN)/python -m tests.conformance.recorder $(if $(VERSION),--version $(VERSION)) $(if $(JAVA),--java $(JAVA))

conformance: prepare ## Run all cases on the service and on the real plugin, and print the differences
	$(BIN)/python -m tests.conformance.differences $(if $(VERSION),--version $(VERSION)) $(if $(JAVA),--java $(JAVA))
	$(BIN)/python -m tests.conformance.generated_differences

clean: ## Remove .venv, .venv-clients and what tools left
	rm -rf $(VENV) $(CLIENTS) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

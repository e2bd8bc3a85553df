# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTED := $(VENV)/.ready-to-test
DATA ?= $(NEGGEN_DATA)
# Tests start a hundred processes; without bytecode each would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs bench clean

## a complete demo on the built-in shop; writes demo/report.html
demo: $(READY)
	$(BIN)/neggen demo demo

## every test; data-dependent ones run when NEGGEN_DATA names the folder of data sets
test: $(TESTED)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

## style and types
lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## the documentation as pages, in site/; wants no network
docs: $(TESTED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

## every benchmark but those that want a GPU or an hour; needs DATA=folder of data sets
bench: $(TESTED)
	@test -n "$(DATA)" || { echo "make bench needs DATA=folder of data sets"; exit 2; }
	for benchmark in $(filter-out benchmarks/common.py benchmarks/encoder_tuning.py benchmarks/scale.py,$(wildcard benchmarks/*.py)); do \
	    $(BIN)/python $$benchmark --data "$(DATA)" || exit 1; \
	done

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable .
	touch $@

$(TESTED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable ".[dev]"
	touch $(READY) $@

clean:
	rm -rf $(VENV) demo site .pytest_cache .ruff_cache .mypy_cache

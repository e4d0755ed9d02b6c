# `make demo` and `make test` need Python 3.11-3.13 and nothing else by hand.
PYTHON ?= python3
VENV := .venv
FER := .venv-fer
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SITE := 'import sysconfig; print(sysconfig.get_path("purelib"))'

.PHONY: help demo test bench lint format lock wheel clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo.stamp  ## Set up, then run everything on the embedded sample
	$(BIN)/ferrule data sample
	$(BIN)/ferrule run

test: lint  ## Set up, then lint, type-check and test
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow and not real_data and not torch"

bench: $(VENV)/demo.stamp  ## Measure Ferrule beside other ways to the same; writes bench/results.json
	-@$(MAKE) --no-print-directory $(FER)/fer.stamp
	$(BIN)/python -m bench

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test.stamp  ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/python.stamp  ## Write requirements.lock anew from pyproject.toml
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  --extra workflow --extra jax --extra s3 --extra kaggle --extra dask --extra dev \
	  pyproject.toml --output-file requirements.lock

wheel: $(VENV)/python.stamp  ## Build dist/ferrule-*.whl, the library alone
	rm -f dist/ferrule-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## Remove the environment and everything that can be made again (never data/ or mlruns/)
	rm -rf $(VENV) $(FER) artifacts dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Expected Python 3.11, 3.12 or 3.13; got $$($(PYTHON) --version); run make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The lock is a constraint: exact versions of the whole tree, of which each extra takes what it needs.
$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml requirements.lock
	$(PIP) --constraint requirements.lock --editable '.[workflow]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	$(PIP) --constraint requirements.lock --editable '.[workflow,dev]'
	@touch $@

# PyPI's fer, to compare with. It asks for OpenCV 4, so it has an environment of its own, which takes TensorFlow from
# ours. Where that fails, its rows are skipped.
$(FER)/fer.stamp: $(VENV)/demo.stamp bench/fer.txt
	@$(PYTHON) -m venv $(FER)
	@$(BIN)/python -c $(SITE) > "$$($(FER)/bin/python -c $(SITE))/ferrule.pth"
	@$(FER)/bin/python -m pip install --quiet --no-deps --requirement bench/fer.txt > $(FER)/pip.log 2>&1
	@touch $@

# What one can do here.  `make help` prints this list.
# Every target sets up its virtual environment first; a second call installs nothing again.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS := .ci/constraints.txt
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest

export TF_CPP_MIN_LOG_LEVEL ?= 3
export CUDA_VISIBLE_DEVICES ?= -1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long recipes lint bench goldens clean

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make the virtual environment, with the exact versions of .ci/constraints.txt

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lrparity needs Python 3.11 or newer; this is %s. Name another: make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "setting up $(VENV) (a few minutes, once)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[all,dev]'
	@touch $@

demo: $(READY) ## train one network in Keras, in Lightning and in a torch loop under the same schedules, and compare (DEMO="--help" for its options)
	@$(RUN) examples/demo.py $(DEMO)

test: $(READY) ## all tests, doctests and README snippets, under 15 minutes on two cores
	@$(PYTEST) -m "not long" $(ARGS)

test-long: $(READY) ## the long sweeps
	@$(PYTEST) -m long $(ARGS)

recipes: $(READY) ## how many published Keras recipes shipped parts express, bit for bit (ARGS=--all for each of them)
	@PYTHONPATH=parity_tests $(RUN) -m recipes $(ARGS)

lint: $(READY) ## ruff, mypy and the layer rule
	@$(RUN) -m ruff check src parity_tests examples
	@$(RUN) -m ruff format --check src parity_tests examples
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports

bench: $(READY) ## time ratios against torch and the other ways to do it, in one run
	@$(RUN) parity_tests/bench.py $(ARGS)

goldens: $(READY) ## record parity_tests/golden/ anew from the Keras that is installed
	@$(RUN) parity_tests/record_goldens.py $(ARGS)

clean: ## remove the virtual environment and everything that was built
	rm -rf $(VENV) demo-report .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything happens in .build; needs Python 3.10 or newer, make and git.

VENV := .build/venv
BIN := $(CURDIR)/$(VENV)/bin
# the first that is new enough and can make virtual environments; else the first that is new enough
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python3.10 python
first = $(shell for each in $(CANDIDATES); do $$each -c $(1) 2>/dev/null && echo $$each && break; done)
NEW_ENOUGH := 'import sys; sys.exit(sys.version_info < (3, 10))'
COMPLETE := 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))'
PYTHON ?= $(or $(call first,$(COMPLETE)),$(call first,$(NEW_ENOUGH)))

# on all cores, quick tests first; each worker has machines of its own
JOBS ?= auto
PYTEST := $(BIN)/python -m pytest

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CACHE_DIR ?= $(CURDIR)/.build/pip
export HOSTOUT_MACHINES ?= $(CURDIR)/.build/machines

.PHONY: help test test-all test-faults lint demo bench clean

help:
	@echo "make test    ruff, mypy, quick tests, real buildouts, real hosts where this machine can have some"
	@echo "make test-all   what make test tries with a few, with all: every wheel of Plone and of Django; half an hour"
	@echo "make test-faults   everything that may befall a deployment, as often as it takes: an hour or two"
	@echo "make lint    ruff and mypy alone"
	@echo "make demo    the whole journey with an SSH server in a temporary folder"
	@echo "make bench   how quick everything is, beside what else people use; an hour (BENCH=--rounds=1: less)"
	@echo "make clean   removes .build"

test: lint
	$(PYTEST) -q -n $(JOBS) -m "not buildout and not machine and not all"
	$(PYTEST) -v -n $(JOBS) --dist worksteal -m "(buildout or machine) and not all"

test-all: $(VENV)/made
	$(PYTEST) -v -n $(JOBS) -m all

# make test tries each fault a few times; FAULTS=--seed=N repeats the moments of a run
test-faults: $(VENV)/made
	HOSTOUT_FAULTS=full $(PYTEST) -v -n $(JOBS) -m faults $(FAULTS)

lint: $(VENV)/made
	$(BIN)/ruff check .
	$(BIN)/mypy

demo: $(VENV)/made
	@$(BIN)/python examples/demo.py

bench: $(VENV)/made
	@$(BIN)/python benchmarks/everything.py $(BENCH)

clean:
	rm -rf .build

# made anew when what it consists of changes
$(VENV)/made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 or newer found; name one with make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments;" \
		"on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version), a minute or less"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

# `make bench` and `make test` are all a new user needs: both set up whatever is missing first.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup bench test lint perf agent lab pins clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-7s %s\n' "$$name" "$$text"; done

setup:  ## virtual environment, host packages, guest kernel, agent: what is missing of them
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "isobench needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) scripts/bootstrap.py $(MAKECMDGOALS)

bench: setup  ## measure the quick matrix on this host and write the report
	@SECONDS=0; $(BIN)/isobench run --quick --report; code=$$?; echo "make bench: $$SECONDS s"; exit $$code

test: lint  ## linters, types, tests (those with real isolators as root only)
	@$(BIN)/pytest --numprocesses auto tests/unit
	@$(BIN)/pytest tests --ignore tests/unit

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/ansible-lint -q

perf: setup  ## our figures beside plain C loops and other tools
	@$(BIN)/python -m tests.perf.perf
	@for module in "import isobench" "from isobench.cli import main; main(['--help'])"; do \
	  $(BIN)/python -m pyperf command --fast --quiet --name "$$module" -- $(BIN)/python -c "$$module"; done
	@$(BIN)/pytest tests/perf --quiet --benchmark-enable --benchmark-only --benchmark-columns=min,median,rounds

agent:  ## compile the agent anew
	@$(PYTHON) scripts/build_agent.py

lab:  ## build the lab host that tests boot as a virtual machine (root; make test does it when it needs it)
	@$(PYTHON) scripts/lab_image.py

pins:  ## resolve constraints.txt anew (needs a package index)
	@scripts/pins.sh

clean:  ## remove what was built here; results and the virtual environment stay
	@rm -rf build dist src/*.egg-info benchmarks/agent/isoagent .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

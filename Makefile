# make demo    watch a trained agent tune a real network path on this machine
# make test    lint, types and every tier of tests that this machine can run
# make bench   speeds, as medians of several runs
# Everything is set up on the way: a virtual environment in .venv with pinned dependencies and, for
# root on a machine with apt, the few programs that the lab needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LAB_PROGRAMS := ip tc bridge nsenter taskset flock setsid
PYTEST_FLAGS ?=

.PHONY: demo test bench lint train programs clean

demo: $(VENV)/demo.ready programs
	$(BIN)/python -m tuner.demo

test: $(VENV)/test.ready programs lint
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

bench: $(VENV)/test.ready
	$(BIN)/python tests/bench/bench_simulator.py
	$(BIN)/python tests/bench/bench_decision.py
	$(BIN)/python tests/bench/bench_batch.py

train: $(VENV)/test.ready
	$(BIN)/tuner train --out runs/train

lint: $(VENV)/test.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/pip.ready: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "viotune needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint requirements.lock pip setuptools
	touch $@

$(VENV)/demo.ready: $(VENV)/pip.ready pyproject.toml
	$(PIP) install --constraint requirements.lock --no-build-isolation --editable '.[lab,ssh,plot]'
	touch $@

$(VENV)/test.ready: $(VENV)/pip.ready pyproject.toml
	$(PIP) install --constraint requirements.lock --no-build-isolation --editable '.[lab,ssh,plot,suite,train,dev]'
	touch $@ $(VENV)/demo.ready

programs:
	@for program in $(LAB_PROGRAMS); do command -v $$program >/dev/null || missing=1; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 util-linux; \
	fi

clean:
	rm -rf $(VENV) runs build *.egg-info

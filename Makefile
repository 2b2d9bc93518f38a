# detector: `make run` shows it at work, `make test` proves it. Both need only Python >= 3.10 and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
OPTIMIZE := .venv-optimize
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run test install check bench fault soak gpu-test test-optimize jetson clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1	/' | expand -t 22

# Set-up is redone only when what it is made from changes.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing or older than 3.10: name another with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(VENV)/bin/python pyproject.toml detector/__init__.py
	@echo "setting up $(VENV) (once)..."
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --progress-bar on -e .
	@touch $@

$(VENV)/.install: $(VENV)/.run
	@echo "installing the test tools (once)..."
	@$(BIN)/python -m pip install --quiet --progress-bar on -e '.[dev]'
	@touch $@

install: $(VENV)/.install  ## .venv with everything that make test needs

run: $(VENV)/.run  ## the service on a sample clip, alerts printed as a subscriber gets them (ARGS="--duration 30")
	@$(BIN)/detector demo $(ARGS)

test: $(VENV)/.install  ## the whole CPU test suite
	@$(PYTEST) $(ARGS)

check: $(VENV)/.install  ## lint, format, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.install  ## what it costs and how well it follows, measured here
	@$(BIN)/detector bench $(ARGS)
	@$(BIN)/python -m bench.tracking

fault: $(VENV)/.install  ## brokers killed, cameras pulled, disks filled
	@$(PYTEST) -m fault $(ARGS)

soak: $(VENV)/.install  ## minutes of running, memory and threads watched
	@$(PYTEST) -m soak --timeout 1800 $(ARGS)

gpu-test: $(VENV)/.install  ## the tests that need an NVIDIA GPU
	@$(PYTEST) -m gpu $(ARGS)

# Beside .venv: what the product does without must not be there when its tests run.
$(OPTIMIZE)/.install: pyproject.toml detector/__init__.py
	@echo "setting up $(OPTIMIZE) (once)..."
	@$(PYTHON) -m venv $(OPTIMIZE)
	@$(OPTIMIZE)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(OPTIMIZE)/bin/python -m pip install --quiet --progress-bar on -e '.[dev,optimize,tensorrt-rtx]'
	@touch $@

test-optimize: $(OPTIMIZE)/.install  ## the tests that need PyTorch, ultralytics or TensorRT-RTX
	@$(OPTIMIZE)/bin/python -m pytest -m optimize $(ARGS)

jetson:  ## on a Jetson: set up on JetPack's own libraries, build the engine, check it, measure (docs/jetson.md)
	@scripts/jetson.sh $(ARGS)

clean:  ## remove what was set up and built
	rm -rf $(VENV) .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

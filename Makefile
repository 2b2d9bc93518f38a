# detector: `make run` shows it at work, `make test` proves it. Both need only Python >= 3.10 and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
WORKERS ?= 4
OPTIMIZE := .venv-optimize
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run test test-slow install check coverage mutants bench fault night soak gpu-test ha-test test-fresh test-optimize jetson service lock audit sbom notes clean

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

# Most tests wait for a camera, a broker or a clock: two processes a core share the machine well.
test: $(VENV)/.install  ## the CPU test suite: some minutes (longer tests have targets of their own, below)
	@$(PYTEST) -n $(WORKERS) --dist loadfile $(ARGS)

# Where a wrong branch costs an alert: at least 95 % of the branches are tested.
CORE := analytics.tracker analytics.kalman analytics.assignment analytics.rules analytics.zones analytics.visit analytics.alarm \
  inference.decode inference.nms alerts.outbox alerts.outbox_db alerts.outbox_queue
coverage: $(VENV)/.install  ## branch coverage of tracking, rules, decoders and outbox, at least 95 %
	@$(PYTEST) -q $(addprefix tests/,analytics/test_tracker.py analytics/test_kalman.py analytics/test_assignment.py \
	  analytics/test_rules.py analytics/test_rules_cooldown.py analytics/test_rules_places.py \
	  analytics/test_rules_loiter.py analytics/test_visit.py analytics/test_zones.py analytics/test_alarm.py inference/test_decode.py \
	  inference/test_nms.py alerts/test_outbox.py alerts/test_outbox_model.py alerts/test_outbox_db.py alerts/test_outbox_db_damage.py) \
	  -k "not vtest and not one_by_one" --cov-branch --cov-fail-under=95 $(addprefix --cov=detector.,$(CORE))

# Two processes: each test starts services, or runs models, that want a core of their own.
test-slow: $(VENV)/.install  ## the tests that take long: the real program as a process, real models over real clips
	@$(PYTEST) -m "slow and not fault and not optimize" -n 2 --dist loadfile $(ARGS)

mutants: $(VENV)/.install  ## can the tests fail? one wrong thing at a time, and the tests that must notice
	@$(BIN)/python scripts/mutants.py $(ARGS)

check: $(VENV)/.install  ## lint, format, types, import contracts, dead code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/dead_code.py

$(VENV)/.bench: $(VENV)/.install bench/requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps -r bench/requirements.txt
	@touch $@

bench: $(VENV)/.bench  ## from glass to alert, against the targets; the report is bench/out/bench.html (some ten minutes)
	@if [ -d "$${DETECTOR_SHARED:-../shared}" ]; then $(BIN)/python -m bench $(ARGS); \
	  else echo "no ../shared: only the pipeline over its model is measured"; $(BIN)/detector bench $(ARGS); fi

fault: $(VENV)/.install  ## brokers killed, cameras pulled, disks filled
	@$(PYTEST) -m "fault and not alone" -n 3 --dist load $(ARGS)
	@$(PYTEST) -m "fault and alone" $(ARGS)

night: $(VENV)/.install  ## a simulated night, 8 hours of media time through the whole service; prints what happened (needs ../shared)
	@$(PYTEST) -m night -s $(ARGS)

soak: $(VENV)/.install  ## minutes of running, memory and threads watched
	@$(PYTEST) -m soak --timeout 1800 $(ARGS)

test-fresh: $(VENV)/.install  ## make run and make test in bare clones, set-up included, oldest and newest Python
	@$(PYTEST) -m fresh $(ARGS)

gpu-test: $(VENV)/.install  ## the tests that need an NVIDIA GPU
	@$(PYTEST) -m gpu $(ARGS)

# It needs a newer Python than the product, and pins half of what that uses.
HA := .venv-ha
HA_PYTHON ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python) python3.13)
$(HA)/.install: tests/ha/requirements.txt
	@$(HA_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null || { \
	  echo "make: Home Assistant needs Python >= 3.13: name one with make ha-test HA_PYTHON=/path/to/python3.13" >&2; exit 1; }
	@echo "setting up $(HA) (once, some minutes)..."
	@$(HA_PYTHON) -m venv $(HA)
	@$(HA)/bin/python -m pip install --quiet --progress-bar on -r tests/ha/requirements.txt
	@touch $@

ha-test: $(VENV)/.install  ## the service in a real Home Assistant (needs Python 3.13 and Mosquitto)
	@$(MAKE) --no-print-directory -s $(HA)/.install || echo "make: without Home Assistant its tests are skipped" >&2
	@$(PYTEST) -m ha tests/ha $(ARGS)

# Beside .venv: what the product does without must not be there when its tests run.
$(OPTIMIZE)/.install: pyproject.toml detector/__init__.py detector/optimize/requirements.txt
	@echo "setting up $(OPTIMIZE) (once)..."
	@$(PYTHON) -m venv $(OPTIMIZE)
	@$(OPTIMIZE)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(OPTIMIZE)/bin/python -m pip install --quiet --progress-bar on -e '.[dev,transformer,tensorrt-rtx,nvrtc,openvino]'
	@$(OPTIMIZE)/bin/python -m pip install --quiet --no-deps -r detector/optimize/requirements.txt
	@touch $@

test-optimize: $(OPTIMIZE)/.install  ## the tests that need PyTorch, ultralytics, OpenVINO, TensorRT-RTX or NVRTC, and long ones
	@$(OPTIMIZE)/bin/python -m pytest -m optimize $(ARGS)

# What a device runs: nothing but what is pinned, each file checked by its hash; the program built from this checkout.
BUILD := .venv-build
service: $(VENV)/bin/python  ## .venv with the service alone, every package pinned and checked by its hash (for a device)
	@$(BIN)/python -m pip install --quiet --progress-bar on --require-hashes -r requirements/service.lock
	@$(PYTHON) -m venv $(BUILD)
	@$(BUILD)/bin/python -m pip install --quiet --require-hashes -r requirements/build.lock
	@rm -rf dist/service
	@$(BUILD)/bin/python -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist/service .
	@$(BIN)/python -m pip install --quiet --no-index --no-deps --force-reinstall dist/service/*.whl

SUPPLY := .venv-supply
$(SUPPLY)/.install: requirements/tools.txt
	@$(PYTHON) -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip install --quiet --progress-bar on -r requirements/tools.txt
	@touch $@

LOCK := $(SUPPLY)/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --custom-compile-command 'make lock'
lock: $(SUPPLY)/.install  ## the pins of make service anew (ARGS=--upgrade: newest versions)
	@$(LOCK) $(ARGS) pyproject.toml -o requirements/service.lock
	@$(LOCK) $(ARGS) requirements/build.in -o requirements/build.lock

audit: $(SUPPLY)/.install  ## known vulnerabilities of what is pinned (asks a database on the internet)
	@$(SUPPLY)/bin/pip-audit --disable-pip --require-hashes -r requirements/service.lock $(ARGS)

sbom: $(SUPPLY)/.install  ## dist/detector.cdx.json: what the service consists of (CycloneDX)
	@mkdir -p dist
	@$(SUPPLY)/bin/cyclonedx-py requirements requirements/service.lock --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file dist/detector.cdx.json

notes: $(VENV)/bin/python  ## a release's notes from CHANGELOG.md (ARGS=1.2.0; otherwise what is unreleased)
	@$(BIN)/python scripts/release_notes.py $(ARGS)

jetson:  ## on a Jetson: set up on JetPack's own libraries, build the engine, check it, measure (docs/jetson.md)
	@scripts/jetson.sh $(ARGS)

clean:  ## remove what was set up and built
	rm -rf $(VENV) .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

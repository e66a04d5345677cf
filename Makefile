# make demo | make test | make test-slow | make bench | make screenshots | make mongodb | make lint. Everything goes into .venv; nothing else on the machine changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,test,redis,explore
WORKSPACE ?= demo
BENCHMARKS := csl_selection training_step onnx_latency regions_and_review
# Spinning OpenMP threads slow every other process on the machine down; passive ones do not.
export OMP_WAIT_POLICY ?= PASSIVE
# ONNX Runtime would report its use to its makers.
export ORT_DISABLE_TELEMETRY ?= 1

.PHONY: install demo test test-slow lint bench screenshots mongodb clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Pixelsieve needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another one: make install PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --progress-bar on --editable '.[$(EXTRAS)]'
	touch $@

demo: install
	$(BIN)/pixelsieve demo --workspace $(WORKSPACE)

# Whole files go to one worker: what a module sets up is set up once. In their order: sorted by the number of tests, files
# with one long test would come last, when only one worker still has something to do.
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 25

test-slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

screenshots: install
	$(BIN)/python -m tests.browser.screenshots

mongodb: install
	$(BIN)/python -m tests.mongodb

bench: install
	for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) demo artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis

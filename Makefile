# The set-up is one virtual environment with everything the project needs; `make demo` and `make test` create it.
# TORCH_INDEX chooses PyTorch's builds, for instance https://download.pytorch.org/whl/cpu; empty is pip's default.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := $(shell grep '^torch==' constraints.txt)
# One thread per process: tests and workers run in parallel, and threads of NumPy and PyTorch would only contend.
export OMP_NUM_THREADS ?= 1

.PHONY: demo train train-small test test-slow faults realdata check lint types clean

demo: $(READY)
	$(BIN)/agcarbon demo --folder demo

# The shipped checkpoint and a small one; killed at any moment, the same command goes on. THREADS changes the last bits.
THREADS ?= 1
RECIPES := model/training/recipes

train: $(READY)
	mkdir -p build
	$(BIN)/agcarbon train $(RECIPES)/shipped.toml -o build/agcarbon.safetensors --threads $(THREADS)

train-small: $(READY)
	mkdir -p build
	$(BIN)/agcarbon train $(RECIPES)/small.toml -o build/small.safetensors --threads $(THREADS)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

# A randomised campaign of N injected faults; its seed is printed, and SEED repeats it.
N ?= 200

faults: $(READY)
	$(BIN)/python -m tests.faults.campaign $(N) $(if $(SEED),--seed $(SEED))

realdata: $(READY)
	$(BIN)/python -m pytest -m realdata --strict-realdata

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

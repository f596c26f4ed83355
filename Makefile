# One virtual environment holds everything that the project needs, in the versions of constraints.txt; `make demo` and
# `make test` create it. TORCH_INDEX is the package index of PyTorch's builds, for instance
# https://download.pytorch.org/whl/cpu; if it is empty, pip takes PyTorch from its default index.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := $(shell grep '^torch==' constraints.txt)
# A second environment, for `make test-newest` alone.
PYTHON_NEWEST ?= python3.13
VENV_NEWEST := .venv-newest
BIN_NEWEST := $(VENV_NEWEST)/bin
# One thread per process: tests and workers run in parallel, and threads of NumPy and PyTorch would only compete.
export OMP_NUM_THREADS ?= 1

# Two processes of pytest; a test that hangs, see pyproject.toml, ends its process and with it the suite.
PARALLEL := -n 2 --max-worker-restart 0

.PHONY: demo train train-small test test-slow test-newest faults realdata bench check lint types docs dist clean

demo: $(READY)
	$(BIN)/agcarbon demo --folder demo

# The shipped checkpoint and a small one. Training that was interrupted resumes with the same command. The last bits of
# the weights depend on THREADS.
THREADS ?= 1
RECIPES := model/training/recipes

train: $(READY)
	mkdir -p build
	$(BIN)/agcarbon train $(RECIPES)/shipped.toml -o build/simulated.safetensors --threads $(THREADS)

train-small: $(READY)
	mkdir -p build
	$(BIN)/agcarbon train $(RECIPES)/small.toml -o build/small.safetensors --threads $(THREADS)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(PARALLEL) --dist loadfile

# The fast tests with the newest releases of all dependencies: constraints.txt is not used. Warnings are listed, not errors.
# Neither `make check` nor CI runs it, since PyTorch from the default index is a CUDA build of about 3 GB.
# The environment is made anew: pip would look for older releases of PyTorch where it has to upgrade all packages at once.
test-newest:
	$(PYTHON_NEWEST) -m venv --clear $(VENV_NEWEST)
	$(BIN_NEWEST)/pip install --quiet torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN_NEWEST)/pip install --quiet --editable ".[dev]"
	$(BIN_NEWEST)/python -m pytest -m "not slow" $(PARALLEL) --dist worksteal -W default

# A randomized campaign of N injected faults. It prints its seed; the same SEED repeats the campaign.
N ?= 200

faults: $(READY)
	$(BIN)/python -m tests.faults.campaign $(N) $(if $(SEED),--seed $(SEED))

realdata: $(READY)
	$(BIN)/python -m pytest -m realdata --strict-realdata

# The year step, blocks by phase and a run beside honest opponents, in CPU time of one core; docs/performance.md. WRITE
# names a file for the results.
bench: $(READY)
	$(BIN)/python -m benchmarks.bench $(if $(WRITE),--write $(WRITE))

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The documentation as a site, build/docs/index.html: fails on a warning and on a link that leads nowhere.
docs: $(READY)
	$(BIN)/python -m sphinx --builder html -W -n --keep-going --quiet -c docs . build/docs
	$(BIN)/python docs/links.py build/docs

# Wheel and sdist of a release, verified; docs/release-checklist.md.
dist: $(READY)
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

$(READY): pyproject.toml constraints.txt
	@echo "Installing into $(VENV), once: downloads of 0.5 GB or more and 1.9 GB on disk, some minutes without output."
	@$(PYTHON) -m venv $(VENV) || { echo "This needs $(PYTHON) with venv (Debian and Ubuntu: apt install $(PYTHON)-venv)." >&2; exit 2; }
	$(BIN)/pip install --quiet $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/pip freeze | grep '^torch==' > $(VENV)/torch.txt  # the build just installed, such as 2.13.0+cpu, and no other
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint $(VENV)/torch.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV_NEWEST) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

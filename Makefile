# make test | bench | example | rules | format | gpu: each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FORMATTED := $(wildcard $(foreach folder,csrc csrc/cpu csrc/cuda,$(addprefix $(folder)/*.,h cpp cuh cu)) tests/*.cpp)
# Here CUDA is built for one kind of GPU; `make test CMAKE_ARGS=` builds it for all, as `pip install` does, in 4 x the time.
export CMAKE_ARGS ?= -DFUSEDOPT_CUDA_ARCHITECTURES=$(if $(shell command -v nvidia-smi),native,90-real)

.PHONY: test bench example rules format check gpu

test: $(VENV)/installed
	# The processes share the cores, and a file stays in one, which compiles for all its tests.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

bench: $(VENV)/installed
	$(BIN)/fusedopt bench $(ARGS)

example: $(VENV)/installed
	$(BIN)/python examples/train_digits.py

# torch is pinned for development: this version's CPU build suffices, others pull gigabytes of CUDA libraries.
$(VENV)/tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --group dev
	touch $@

$(VENV)/installed: $(VENV)/tools Makefile setup.py CMakeLists.txt $(shell find csrc fusedopt triton_kernels bench -type f -not -name '*.pyc' -not -name '*.json')
	$(BIN)/pip install --quiet .
	touch $@

# Rule text to C++ headers, from the sources rather than the installed package.
rules: $(VENV)/tools
	$(BIN)/python -m fusedopt.emit csrc/rules

format: $(VENV)/tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(FORMATTED)

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(FORMATTED)
	$(BIN)/pyright --pythonpath $(BIN)/python

# On a machine with a GPU that has torch already; writes to $$OUT, else to bench/results.
gpu:
	bash bench/gpu.sh

# Everything runs from a virtual environment that the first target makes from the lock file.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := .venv-clients/.ready
# Most tests wait for Ray more than they compute, so two files run at a time; those that put load on
# an endpoint run by themselves. Nothing is left of either (5) where ARGS names other tests.
PYTEST := $(BIN)/python -m pytest
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test test-all check format bench lock proto wheel clean setup

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## Make the virtual environment from the lock file

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "rayml needs Python 3.11 to 3.13; name one with make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Clients of the Open Inference Protocol, whose dependencies clash with the lock file.
$(CLIENTS): requirements-clients.lock
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-clients.lock
	@touch $@

run: $(READY)  ## Prepare, sweep, register and serve a bundled data set, then ask it for a prediction
	@$(BIN)/rayml run $(ARGS)

test: $(READY) $(CLIENTS)  ## Run the tests
	$(PYTEST) $(TWO) -m "not slow and not alone" $(ARGS) || [ $$? = 5 ]
	$(PYTEST) -m "not slow and alone" $(ARGS) || [ $$? = 5 ]

test-all: $(READY) $(CLIENTS)  ## Run the tests, the slow ones too
	$(PYTEST) $(TWO) -m "not alone" $(ARGS) || [ $$? = 5 ]
	$(PYTEST) -m alone $(ARGS) || [ $$? = 5 ]

check: $(READY)  ## Lint, types, import contract, every shipped config and every message
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_configs.py tests/test_messages.py tests/test_house.py

format: $(READY)  ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Measure rayml beside its peers; prints the ratios
	$(BIN)/python tests/bench/study_bench.py
	$(BIN)/python tests/bench/lanes_bench.py
	$(BIN)/python tests/bench/sweep_bench.py
	$(BIN)/python tests/bench/memory_bench.py
	$(BIN)/python tests/bench/serve_bench.py
	$(BIN)/python tests/bench/swap_bench.py
	$(BIN)/python tests/bench/tensor_bench.py

lock: $(READY)  ## Renew the lock file from pyproject.toml; ARGS=--upgrade takes newer releases
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --no-annotate --no-header \
		--python-version 3.11 --output-file requirements.lock $(ARGS)
	# A CUDA build of torch names the libraries it needs itself; a CPU build needs none of them.
	sed -i -E '/^(nvidia-|cuda-|triton)/d' requirements.lock

proto: $(READY)  ## Compile the messages of gRPC
	cd rayml/serve/grpc && $(abspath $(BIN))/python -m grpc_tools.protoc -I. \
		--descriptor_set_out=open_inference.binpb --pyi_out=. open_inference.proto

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## Remove the virtual environment, caches and builds; runs/ stays
	rm -rf $(VENV) .venv-clients dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# make demo: install and run the default benchmark. make studies: all studies, and one report over them. make test:
# install and run the tests. make gpu: the tests and benchmarks that need a GPU, in at most 8 minutes. make docs: build
# the site.
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
# tests start many processes, and each would compile the package anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo studies test test-slow stress lint format benchmarks gpu docs clean

demo: $(INSTALLED)
	$(VENV)/bin/leakfront run digits

studies: $(INSTALLED)
	$(VENV)/bin/leakfront run studies

test: $(INSTALLED)
	$(PYTHON) -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not slow and not gpu"

test-slow: $(INSTALLED)
	$(PYTHON) -m pytest -m "slow"

stress: $(INSTALLED)
	$(PYTHON) -m stress

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m pytest -q tests/test_imports.py

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

benchmarks: $(INSTALLED)
	$(PYTHON) -m benchmarks.matching
	$(PYTHON) -m benchmarks.features_metrics
	$(PYTHON) -m benchmarks.features_metrics 2048
	$(PYTHON) -m benchmarks.startup
	$(PYTHON) -m benchmarks.pool_scale
	$(PYTHON) -m benchmarks.prompt_duplicates
	$(PYTHON) -m benchmarks.training_step
	$(PYTHON) -m benchmarks.sampling_step
	$(PYTHON) -m benchmarks.scaling
	$(PYTHON) -m benchmarks.private_step
	$(PYTHON) -m benchmarks.defense_steps
	$(PYTHON) -m benchmarks.threads
	$(PYTHON) -m benchmarks.reproducibility

gpu: $(INSTALLED)
	$(PYTHON) -m benchmarks.gpu

docs: $(INSTALLED)
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	test -d $(VENV) || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

# Everything here needs Python 3.10 or newer and make, nothing else.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test quick backends matrix lint format clean

demo: $(READY)
	@$(BIN)/lucidic demo

test: $(READY)
	$(BIN)/python -m pytest -m "not backends" -n 2

quick: $(READY)
	$(BIN)/python -m pytest -m "not slow and not backends" -n 2

backends: $(READY)
	LUCIDIC_TESTS_NEED_ENVIRONMENTS=1 $(BIN)/python -m pytest -m backends

matrix: $(READY)
	$(BIN)/python -m tests.attribution

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml requirements/constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements/constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements/constraints.txt --group dev --editable '.[all]'
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

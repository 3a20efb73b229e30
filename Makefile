# Everything here needs Python 3.10 or newer and make, nothing else.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test quick matrix docs floors openinference-langchain pydantic-ai-companions browser backends lint format clean

demo: $(READY)
	@$(BIN)/lucidic demo

test: $(READY)
	$(BIN)/python -m pytest -m "not backends" -n 2

quick: $(READY)
	$(BIN)/python -m pytest -m "not slow and not backends" -n 2

# Against a real Phoenix and a real MLflow; their environments, of 620 MB each, stay in the cache folder.
backends: $(READY)
	LUCIDIC_TESTS_NEED_ENVIRONMENTS=1 $(BIN)/python -m pytest -m backends

matrix: $(READY)
	$(BIN)/python -m tests.attribution

docs: $(READY)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo docs/_build/html/index.html

# Each adapter's tests with the oldest releases of its framework, in an environment of their own.
floors: $(READY)
	$(BIN)/python -m tests.floors langchain
	$(BIN)/python -m tests.floors openai_agents
	$(BIN)/python -m tests.floors pydantic_ai

# OpenInference's own LangChain tests, run on our handler.
openinference-langchain: $(READY)
	$(BIN)/python -m tests.others.openinference_langchain

# PydanticAI with what its users add: Logfire, MCP, evals (which hold it at their own release).
pydantic-ai-companions: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-companions
	$(BIN)/uv pip install --quiet --python .venv-companions/bin/python --editable '.[pydantic-ai,openai,anthropic,otlp]' \
		'pydantic-ai-slim[mcp]' 'fastmcp-slim[server]' logfire 'pydantic-evals>=2' hypothesis pytest pytest-asyncio pytest-timeout
	.venv-companions/bin/python -m pytest tests/adapters/pydantic_ai

browser:
	@.ci/browser

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
	rm -rf $(VENV) dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

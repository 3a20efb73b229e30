"""What `import lucidic` costs: no framework, no HTTP client, no database library, no exporter."""

from __future__ import annotations

import os
import subprocess
import sys


FORBIDDEN = (
    "agents", "anthropic", "click", "fastapi", "httpx", "langchain", "langchain_core", "langgraph", "openai",
    "openinference.instrumentation", "opentelemetry.exporter", "opentelemetry.instrumentation", "pydantic",
    "pydantic_ai", "requests", "rich", "sqlalchemy", "sqlite3", "starlette", "wrapt",
)  # fmt: skip


def test_import_lucidic_imports_nothing_heavy():
    """A fresh interpreter that imports lucidic has none of these modules."""
    code = "import lucidic, sys; print('\\n'.join(sys.modules))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.split()

    assert [] == [
        name for name in loaded if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)
    ]

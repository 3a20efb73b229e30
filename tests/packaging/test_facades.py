"""The facades name the extra to install where a framework is missing."""

from __future__ import annotations

import importlib
import sys

import pytest

from lucidic.errors import MissingDependencyError


@pytest.mark.parametrize(
    ("facade", "framework", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
        ("openai_agents", "agents", "openai-agents"),
    ],
)
def test_a_missing_framework_names_its_extra(monkeypatch, facade, framework, extra):
    """Importing a facade without its framework says which extra to install."""
    for name in list(sys.modules):
        if name.split(".")[0] in (framework, "lucidic_adapters") or name == f"lucidic.{facade}":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(MissingDependencyError, match=rf"lucidic-adapters\[{extra}\]"):
        importlib.import_module(f"lucidic.{facade}")

"""The public surface: what is listed is public, and nothing else is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import lucidic


NAMES = """
Instrumentation Scope SessionScope add_sink bind bind_session bind_session_async clear_active_session context
continue_session create_event create_step current_session_id end_event end_session end_step errors event extract flush
flush_on_return get_session health init inject install_as_lucidicai instrument run_in_session run_session score session session_async
set_active_session show shutdown step to_dataframe update_event update_session update_step using_attributes using_session
""".split()

MODULES = "adapterkit asgi context errors langchain openai_agents pydantic_ai sinks testing".split()


def test_the_names_of_the_package_are_these():
    """Adding or removing a public name is a decision, made here."""
    assert sorted(NAMES) == sorted(lucidic.__all__)
    assert all(hasattr(lucidic, name) for name in NAMES)


def test_the_public_modules_are_these():
    """A module without a leading underscore is public."""
    found = [item.name for item in pkgutil.iter_modules(lucidic.__path__) if not item.name.startswith("_")]

    assert sorted(MODULES) == sorted(found)


@pytest.mark.parametrize(
    "module", ["lucidic", *(f"lucidic.{name}" for name in ("asgi", "context", "errors"))]
)
def test_everything_public_has_a_docstring(module):
    """Each public function and class says what it does, in a sentence of its own."""
    found = importlib.import_module(module)
    for name in found.__all__:
        value = getattr(found, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), name


def test_the_errors_are_one_tree():
    """Every error of ours is a LucidicError."""
    from lucidic import errors

    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.LucidicError)


def test_installed_as_lucidicai_it_answers_to_that_name(monkeypatch):
    """`import lucidicai as lai` and `from lucidicai.errors import …` give the very same objects."""
    import sys

    names = ["lucidicai", "lucidicai.errors", "lucidicai.context", "lucidicai.asgi"]
    before = {name: sys.modules.pop(name, None) for name in names}
    try:
        lucidic.install_as_lucidicai()
        lucidic.install_as_lucidicai()
        lai = importlib.import_module("lucidicai")
        errors = importlib.import_module("lucidicai.errors")
        assert lai is lucidic
        assert errors.InvalidOperationError is lucidic.errors.InvalidOperationError
        assert importlib.import_module("lucidicai.context") is lucidic.context
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def test_the_real_package_is_not_replaced(monkeypatch):
    """Where the package lucidicai is already imported, installing is refused with the way out."""
    import sys
    import types

    monkeypatch.setitem(sys.modules, "lucidicai", types.ModuleType("lucidicai"))
    with pytest.raises(lucidic.errors.InvalidOperationError, match="before that import"):
        lucidic.install_as_lucidicai()

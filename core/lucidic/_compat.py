"""Run code that was written for ``import lucidicai as lai``."""

from __future__ import annotations

import sys
from importlib import import_module

from lucidic.errors import InvalidOperationError


_NAME = "lucidicai"
_MODULES = ("errors", "context", "asgi")


def install_as_lucidicai() -> None:
    """Make ``import lucidicai`` and ``from lucidicai.errors import …`` give lucidic, for the whole process.

    Call it before the first of these imports. Harmless when repeated.

    Raises:
        InvalidOperationError: The package ``lucidicai`` itself was imported already.

    """
    ours = import_module("lucidic")
    if sys.modules.get(_NAME, ours) is not ours:
        raise InvalidOperationError(
            "The package lucidicai is already imported; call lucidic.install_as_lucidicai() before that import."
        )
    sys.modules[_NAME] = ours
    for module in _MODULES:
        sys.modules[f"{_NAME}.{module}"] = import_module(f"lucidic.{module}")

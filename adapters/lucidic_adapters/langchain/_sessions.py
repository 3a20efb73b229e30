"""The session ids that LangChain's callers give: metadata first, then ``configurable``.

Since langchain-core 1.3 ``configurable`` no longer reaches callbacks (only LangSmith's tracer gets
it); the bridge carries it along with the metadata of the run that starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lucidic.adapterkit import FrameworkID, framework_ids


class Carrier(dict[str, Any]):
    """A mapping of LangChain's, unchanged, that also remembers the call's ``configurable``."""

    __slots__ = ("configurable",)

    def __init__(self, values: Mapping[str, Any], configurable: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.configurable = configurable


def session_ids(metadata: Mapping[str, Any] | None, keys: tuple[str, ...]) -> tuple[FrameworkID, ...]:
    """Return the ids that name the session of a root run, the strongest first."""
    found = framework_ids(metadata, "langchain.metadata", keys=keys)
    if isinstance(metadata, Carrier):
        return (*found, *framework_ids(metadata.configurable, "langchain.configurable", keys=keys))
    return found

"""The session ids that LangChain's callers give: metadata first, then ``configurable``.

Since langchain-core 1.3 ``configurable`` no longer reaches callbacks (only LangSmith's tracer gets
it); the bridge carries it along with the metadata of the run that starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lucidic.adapterkit import FrameworkID, framework_ids


class Carrier(dict[str, Any]):
    """A mapping of LangChain's, unchanged, that also remembers the call's ``configurable``."""

    __slots__ = ("configurable",)

    def __init__(self, values: Mapping[str, Any], configurable: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.configurable = configurable

    def copy(self) -> Carrier:
        """Return a copy that remembers the same: LangChain copies the metadata of a call's config."""
        return Carrier(self, self.configurable)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Copy deeply, and pickle, as the plain mapping: a graph's ``configurable`` holds what can be neither."""
        return dict, (dict(self),)


def configurable_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the ``configurable`` of the config that is among the arguments of a call, the second or by name."""
    config = _config_of(args, kwargs)
    return config.get("configurable") if isinstance(config, dict) else None


def configurables_of(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Mapping[str, Any] | Iterator[Mapping[str, Any] | None] | None:
    """Return the same, or one for each input where a batch is given a config for each."""
    config = _config_of(args, kwargs)
    if not isinstance(config, list):
        return configurable_of(args, kwargs)
    told = [item.get("configurable") for item in config if isinstance(item, dict)]
    return iter(told) if any(told) else None


def _config_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return kwargs.get("config") or (args[1] if len(args) > 1 else None)


def carrying(config: Any) -> Any:
    """Return a call's config, or list of them, with ``configurable`` remembered by its metadata."""
    if isinstance(config, list):
        return [carrying(item) for item in config]
    configurable = config.get("configurable") if isinstance(config, Mapping) else None
    if not configurable:
        return config
    return {**config, "metadata": Carrier(config.get("metadata") or {}, configurable)}


def session_ids(metadata: Mapping[str, Any] | None, keys: tuple[str, ...]) -> tuple[FrameworkID, ...]:
    """Return the ids that name the session of a root run, the strongest first.

    What LangGraph copies from ``configurable`` into the metadata counts as ``configurable``'s.
    """
    named = metadata is not None and not metadata.keys().isdisjoint(keys)  # most runs have no such key
    found = framework_ids(metadata, "langchain.metadata", keys=keys) if named else ()
    if not isinstance(metadata, Carrier):
        return found
    configurable = framework_ids(metadata.configurable, "langchain.configurable", keys=keys)
    places = {(item.source.rpartition(".")[2], item.value) for item in configurable}
    own = (item for item in found if (item.source.rpartition(".")[2], item.value) not in places)
    return (*own, *configurable)

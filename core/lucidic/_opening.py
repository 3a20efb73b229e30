"""What ``init()``, ``session()`` and ``continue_session()`` are given: checked first, applied when they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import TypedDict

from lucidic._config import MaskingFunction, Settings, check_conventions, check_session_from
from lucidic._ids import check_session_id
from lucidic._providers import provider_names
from lucidic._records import JSONValue
from lucidic._runtime import runtime
from lucidic._spans._correlation import SessionFrom
from lucidic.errors import ConfigurationError


if TYPE_CHECKING:
    from lucidic._export._hosted_registry import HostedRegistry


class SessionOptions(TypedDict, total=False):
    """The options of ``init()`` and ``session()``; each may be ``None``, which is as good as left out."""

    session_id: str | None
    """Open or resume the session of this id; default a random UUID."""
    lucidic_api_key: str | None
    """Key of the hosted API; default ``LUCIDIC_API_KEY``. Without a key everything stays local."""
    api_key: str | None
    """Another name of ``lucidic_api_key``."""
    agent_id: str | None
    """Agent at the hosted API; default ``LUCIDIC_AGENT_ID``."""
    task: str | None
    providers: Sequence[object] | None
    """What to instrument: names, or modules, classes or client objects of the frameworks."""
    production_monitoring: bool | None
    mass_sim_id: str | None
    experiment_id: str | None
    dataset_item_id: str | None
    rubrics: Sequence[str] | None
    tags: Sequence[str] | None
    user_id: str | None
    masking_function: MaskingFunction | None
    """Applied to every text that could hold content, before it is written anywhere."""
    auto_end: bool | None
    """End the session when the process exits; default true. Ignored by ``session()``."""
    capture_uncaught: bool | None
    """Mark the session unsuccessful if an uncaught error ends the process; default true."""
    threading: bool | None
    """Carry the session into threads and executors; default true."""
    session_from: SessionFrom | None
    """``"block"`` (default) or ``"framework"``: which one outranks the other."""
    conventions: Sequence[str] | None
    """What exported spans carry beside OpenInference, such as ``["langfuse"]``; default ``LUCIDIC_CONVENTIONS``,
    and what the OTLP endpoint's address shows."""
    capture_content: bool | None
    """False leaves messages, arguments and results out."""


_NAMES: Final = tuple(SessionOptions.__annotations__)
_FIELDS: Final = (
    "task", "production_monitoring", "mass_sim_id", "experiment_id", "dataset_item_id", "user_id",
)  # fmt: skip
_LISTS: Final = ("rubrics", "tags")
_SETTINGS: Final = (
    "agent_id", "masking_function", "capture_uncaught", "threading", "session_from", "capture_content",
    "conventions",
)  # fmt: skip


class Opening:
    """Options that were checked and wait for their session to begin."""

    def __init__(self, function: str, session_name: str | None, options: Mapping[str, Any]) -> None:
        _refuse_unknown(function, options)
        given = {name: value for name, value in options.items() if value is not None}
        session_id = given.get("session_id")
        self._asks = function != "session"
        self.session_id: str | None = None if session_id is None else check_session_id(session_id)
        self.auto_end: bool | None = given.get("auto_end")
        self.providers = provider_names(given.get("providers", ()))
        if "session_from" in given:
            check_session_from(given["session_from"])
        if not callable(given.get("masking_function", str)):
            raise ConfigurationError(
                "masking_function must be a function that takes a text and returns a text."
            )
        if "conventions" in given:
            given["conventions"] = check_conventions(given["conventions"])
        self._settings: dict[str, Any] = {name: given[name] for name in _SETTINGS if name in given}
        self._settings["api_key"] = _one_key(given)
        self.fields: dict[str, JSONValue] = {"name": session_name}
        self.fields.update({name: given[name] for name in _FIELDS if name in given})
        self.fields.update({name: _texts(name, given[name]) for name in _LISTS if name in given})

    def settings(self) -> Settings:
        """Return the process's settings with those given here."""
        return runtime().settings.with_arguments(**self._settings)

    def apply(self, *, forget_mask: bool = False) -> None:
        """Take the settings and switch on what was asked for.

        Args:
            forget_mask: Without a masking function given now, an earlier one ends.

        Raises:
            APIKeyVerificationError: The hosted API is asked for and a credential is missing or refused.
            MissingDependencyError: The framework of a provider is not installed.

        """
        run = runtime()
        settings = self.settings()
        if forget_mask and "masking_function" not in self._settings:
            settings = settings.without_masking()
        if settings.api_key or settings.agent_id:
            settings.require_credentials()
        # A block must open at once, on an event loop too: it leaves a refused key to the sink.
        if self._asks and (registry := hosted_registry(settings)) is not None:
            registry.check_key()
        if settings != run.settings:
            run.configure(settings)
        run.provider()
        for provider in self.providers:
            run.use_provider(provider)


def hosted_registry(settings: Settings) -> HostedRegistry | None:
    """Return the hosted API for explicit calls; None without a key.

    Raises:
        APIKeyVerificationError: There is a key and no agent id.
        ConfigurationError: A variable of the hosted API holds what cannot be used.

    """
    if not settings.api_key:
        return None
    from lucidic._export._hosted_config import FOLDER, hosted_config
    from lucidic._export._hosted_registry import HostedRegistry

    config = hosted_config(*settings.require_credentials())
    return HostedRegistry(config=config, folder=settings.home / FOLDER)


def _refuse_unknown(function: str, options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in _NAMES:
            import difflib

            near = difflib.get_close_matches(name, (*_NAMES, "session_name"), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}.{hint}")


def _one_key(given: Mapping[str, Any]) -> str | None:
    keys = {given[name] for name in ("lucidic_api_key", "api_key") if name in given}
    if len(keys) > 1:
        raise ConfigurationError(
            "lucidic_api_key and api_key are two names of one key, and two different ones were given: pass one."
        )
    return next(iter(keys), None)


def _texts(name: str, value: Sequence[str]) -> list[JSONValue]:
    if isinstance(value, str):
        raise ConfigurationError(f"{name} must be a list of texts, not the text {value!r}: pass [{value!r}].")
    return list(value)

"""Settings: arguments first, then the environment, then defaults; each value knows where it came from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lucidic._spans._correlation import SessionFrom
from lucidic.errors import APIKeyVerificationError, ConfigurationError


MaskingFunction = Callable[[str], str]
"""Takes a text that could hold content, returns the text to write."""

CONVENTIONS = (
    "langfuse", "langsmith", "logfire", "weave", "opik", "traceloop", "datadog", "mlflow", "gen_ai",
)  # fmt: skip
"""The conventions that exported spans can carry."""
ANNOTATIONS = ("phoenix", "mlflow", "langfuse", "spans")
"""The forms in which an OTLP endpoint can take scores; ``spans`` are OpenInference's annotations."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What this process does with its spans.

    Attributes:
        home: Folder of the journal and the local store (``LUCIDIC_HOME``; default: ``lucidic`` in the
            XDG state folder; in AWS Lambda in the temporary folder, the only one that can be written).
        api_key: Key of the hosted API (``LUCIDIC_API_KEY``); without it everything stays local.
        agent_id: Agent at the hosted API (``LUCIDIC_AGENT_ID``).
        otlp_endpoint: OTLP/HTTP base address (``LUCIDIC_OTLP_ENDPOINT``, else the standard
            ``OTEL_EXPORTER_OTLP_ENDPOINT`` family).
        conventions: What spans carry beside OpenInference on their way out (``LUCIDIC_CONVENTIONS``, names
            with commas; see ``CONVENTIONS``). Default: what the endpoint's address asks for; empty: nothing.
        annotations: In whose form scores go to the OTLP endpoint (``LUCIDIC_ANNOTATIONS``; see
            ``ANNOTATIONS``). Default: what the endpoint turns out to be.
        jsonl: File to append the spans to as OTLP/JSON lines (``LUCIDIC_JSONL``); default none.
        jsonl_per_session: ``jsonl`` is a folder with one file a session (``LUCIDIC_JSONL_PER_SESSION``).
        auto_end: End the sessions of ``init()`` at exit (``LUCIDIC_AUTO_END``; default true).
        session_from: ``"block"`` (default) or ``"framework"`` (``LUCIDIC_SESSION_FROM``): which one
            outranks the other.
        capture_content: Keep messages, arguments and results (``LUCIDIC_CAPTURE_CONTENT``; default true).
        masking_function: Applied to every text that could hold content; default none.
        capture_uncaught: Mark sessions that an uncaught error ends as unsuccessful
            (``LUCIDIC_CAPTURE_UNCAUGHT``; default true).
        threading: Carry the session into threads and executors (``LUCIDIC_THREADING``; default true).
        exit_budget: Seconds that everything at exit may take together (``LUCIDIC_EXIT_BUDGET``; default 2).
        fsync: Seconds of spans that a power failure may cost (``LUCIDIC_FSYNC``; default 0.5). ``always``
            (0): each span is on the disk before its end returns; ``never`` (infinite): the system decides.
        origins: For each setting, where its value came from: ``argument``, ``env VARIABLE`` or ``default``.

    """

    home: Path
    api_key: str | None = field(default=None, repr=False)
    agent_id: str | None = None
    otlp_endpoint: str | None = None
    conventions: tuple[str, ...] | None = None
    annotations: str | None = None
    jsonl: Path | None = None
    jsonl_per_session: bool = False
    auto_end: bool = True
    session_from: SessionFrom = "block"
    capture_content: bool = True
    masking_function: MaskingFunction | None = None
    capture_uncaught: bool = True
    threading: bool = True
    exit_budget: float = 2.0
    fsync: float = 0.5
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from the environment.

        Raises:
            ConfigurationError: A variable holds what cannot be used.

        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {"home": default_home(env)}
        origins = {"home": "env XDG_STATE_HOME" if env.get("XDG_STATE_HOME") else "default"}
        for name, (variables, read) in _VARIABLES.items():
            for variable in variables:
                if raw := env.get(variable):
                    values[name] = read(variable, raw)
                    origins[name] = f"env {variable}"
                    break
            else:
                origins.setdefault(name, "default")
        return cls(**values, origins=origins)

    def with_arguments(self, **arguments: Any) -> Settings:
        """Return settings in which every argument that is not ``None`` counts."""
        given = {name: value for name, value in arguments.items() if value is not None}
        origins = {**self.origins, **dict.fromkeys(given, "argument")}
        return replace(self, **given, origins=origins)

    def without_masking(self) -> Settings:
        """Return settings that mask nothing."""
        return replace(self, masking_function=None, origins={**self.origins, "masking_function": "default"})

    @property
    def sinks(self) -> tuple[object, ...]:
        """What of the settings makes sinks what they are and may change while they work."""
        return self.api_key, self.agent_id, self.conventions, self.annotations

    def require_credentials(self) -> tuple[str, str]:
        """Return key and agent id for the hosted API.

        Raises:
            APIKeyVerificationError: One of them is missing; the message names its variable.

        """
        if not self.api_key:
            raise APIKeyVerificationError(
                "The hosted API needs a key: pass lucidic_api_key=… or set the LUCIDIC_API_KEY variable. "
                "Without both, sessions are kept in the local store."
            )
        if not self.agent_id:
            raise APIKeyVerificationError(
                "The hosted API needs an agent id: pass agent_id=… or set the LUCIDIC_AGENT_ID variable."
            )
        return self.api_key, self.agent_id


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the folder of the state by the XDG base directory specification, where there is a home to write to."""
    base = environ.get("XDG_STATE_HOME")
    if not base and environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        return Path(tempfile.gettempdir()) / "lucidic"
    root = Path(base) if base else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return root / "lucidic"


def _text(_variable: str, raw: str) -> str:
    return raw


def _path(_variable: str, raw: str) -> Path:
    return Path(raw).expanduser()


def _bool(variable: str, raw: str) -> bool:
    word = raw.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ConfigurationError(f"{variable} is {raw!r}; it must be true or false.")


def _seconds(variable: str, raw: str) -> float:
    try:
        seconds = float(raw)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{variable} is {raw!r}; it must be a number of seconds, 0 or more.")
    return seconds


def _fsync(variable: str, raw: str) -> float:
    words = {"always": 0.0, "never": float("inf")}
    try:
        return words[raw.strip().lower()] if raw.strip().lower() in words else _seconds(variable, raw)
    except ConfigurationError:
        raise ConfigurationError(
            f"{variable} is {raw!r}; it must be a number of seconds, 'always' or 'never'."
        ) from None


def _session_from(variable: str, raw: str) -> SessionFrom:
    return check_session_from(raw.strip().lower(), variable)


def check_session_from(value: object, name: str = "session_from") -> SessionFrom:
    """Return ``value`` if it is a ``SessionFrom``; raise ``ConfigurationError`` if not."""
    if value == "block":
        return "block"
    if value == "framework":
        return "framework"
    raise ConfigurationError(f"{name} is {value!r}; it must be 'block' or 'framework'.")


def check_conventions(value: object, name: str = "conventions") -> tuple[str, ...]:
    """Return the names of conventions, each once; raise ``ConfigurationError`` for what is none."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{name} must be a list of names, not {value!r}: pass [{value!r}].")
    names = tuple(dict.fromkeys(value))
    unknown = [each for each in names if each not in CONVENTIONS]
    if unknown:
        raise ConfigurationError(
            f"{name} names {unknown[0]!r}, which is no convention. Known are {', '.join(CONVENTIONS)}; "
            f"what reads OpenInference, as Phoenix does, needs none."
        )
    return names


def _conventions(variable: str, raw: str) -> tuple[str, ...]:
    words = [word.strip().lower() for word in raw.split(",") if word.strip()]
    return () if words == ["none"] else check_conventions(words, variable)


def check_annotations(value: object, name: str = "annotations") -> str:
    """Return ``value`` if it is a form of scores; raise ``ConfigurationError`` if not."""
    if value not in ANNOTATIONS:
        raise ConfigurationError(f"{name} is {value!r}; it must be one of {', '.join(ANNOTATIONS)}.")
    return str(value)


def _annotations(variable: str, raw: str) -> str:
    return check_annotations(raw.strip().lower(), variable)


_VARIABLES: Mapping[str, tuple[tuple[str, ...], Callable[[str, str], Any]]] = {
    "home": (("LUCIDIC_HOME",), _path),
    "api_key": (("LUCIDIC_API_KEY",), _text),
    "agent_id": (("LUCIDIC_AGENT_ID",), _text),
    "otlp_endpoint": (
        ("LUCIDIC_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        _text,
    ),
    "conventions": (("LUCIDIC_CONVENTIONS",), _conventions),
    "annotations": (("LUCIDIC_ANNOTATIONS",), _annotations),
    "jsonl": (("LUCIDIC_JSONL",), _path),
    "jsonl_per_session": (("LUCIDIC_JSONL_PER_SESSION",), _bool),
    "auto_end": (("LUCIDIC_AUTO_END",), _bool),
    "session_from": (("LUCIDIC_SESSION_FROM",), _session_from),
    "capture_content": (("LUCIDIC_CAPTURE_CONTENT",), _bool),
    "capture_uncaught": (("LUCIDIC_CAPTURE_UNCAUGHT",), _bool),
    "threading": (("LUCIDIC_THREADING",), _bool),
    "exit_budget": (("LUCIDIC_EXIT_BUDGET",), _seconds),
    "fsync": (("LUCIDIC_FSYNC",), _fsync),
}

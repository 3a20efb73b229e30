"""``LucidicInstrumentation`` for one agent, ``instrument()`` for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lucidic.adapterkit import SESSION_METADATA_KEYS, AdapterOptions, SessionFrom
from lucidic_adapters.pydantic_ai import _hooks, _slots
from lucidic_adapters.pydantic_ai._hooks import Instrumentation
from lucidic_adapters.pydantic_ai._settings import LucidicSettings


class Instrumented:
    """What ``instrument()`` did; called, it undoes it."""

    def __init__(self, made: LucidicSettings) -> None:
        self._made = made

    def __call__(self) -> None:
        """Undo it: what others gave to ``instrument_all()``, before or since, is there alone again."""
        _slots.everywhere.remove(self._made)
        _slots.fill()
        _hooks.uninstall()

    def again(self) -> None:
        """Trace again where ``Agent.instrument_all(False)`` has switched it off."""
        _slots.fill()


def instrument(**options: Any) -> Instrumented:
    """Trace every agent, direct model request, embedding and image of this process, those made before too.

    Agents with instrumentation of their own (``agent.instrument``, an ``Instrumentation`` capability)
    keep it, and ``agent.instrument = False`` leaves one out. What ``Agent.instrument_all()`` is given,
    before or after, goes on beside ours, and its choices about content hold for both;
    ``Agent.instrument_all(False)`` switches both off.

    Args:
        **options: The options of ``LucidicInstrumentation``.

    Returns:
        What undoes it when it is called.

    Raises:
        InvalidSessionIDError: ``session_id`` is empty or not text.
        ConfigurationError: ``session_from`` is neither ``"block"`` nor ``"framework"``.

    """
    made = LucidicSettings(AdapterOptions(**options))
    _hooks.install()
    _slots.everywhere.append(made)
    _slots.fill()
    return Instrumented(made)


if TYPE_CHECKING or Instrumentation is not None:

    class LucidicInstrumentation(Instrumentation):
        """Trace one agent: ``Agent(..., capabilities=[LucidicInstrumentation()])``.

        It takes the place of PydanticAI's own ``Instrumentation`` on that agent. ``settings`` are
        instrumentation settings for whatever takes those: ``agent.instrument``, ``InstrumentedModel``,
        ``Embedder(instrument=...)``, ``direct.model_request(instrument=...)``.
        """

        def __init__(
            self,
            *,
            session_id: str | None = None,
            session_keys: tuple[str, ...] = SESSION_METADATA_KEYS,
            session_from: SessionFrom | None = None,
            capture_content: bool | None = None,
            mask: Callable[[str], str] | None = None,
            tracer_provider: Any = None,
            settings: LucidicSettings | None = None,
            **fields: Any,
        ) -> None:
            """Make the instrumentation; starts nothing.

            Args:
                session_id: The session of everything this agent does; outranks all else.
                session_keys: The metadata keys that name a session, in order of precedence.
                session_from: ``"block"`` or ``"framework"``: which one outranks the other.
                capture_content: False leaves messages, arguments and results out.
                mask: Applied to every text that could hold content.
                tracer_provider: Where the spans are made; default the global provider, else our own.
                settings: Settings made before; the SDK copies the capability for each run.
                **fields: The fields of PydanticAI's capabilities (``id``).

            Raises:
                InvalidSessionIDError: ``session_id`` is empty or not text.
                ConfigurationError: ``session_from`` is neither word.

            """
            if settings is None:
                _hooks.install()
                settings = LucidicSettings(
                    AdapterOptions(
                        session_id=session_id,
                        session_keys=session_keys,
                        session_from=session_from,
                        capture_content=capture_content,
                        mask=mask,
                        tracer_provider=tracer_provider,
                    )
                )
            super().__init__(settings=settings, **fields)

else:

    class LucidicInstrumentation(LucidicSettings):
        """Trace one agent: ``Agent(..., instrument=LucidicInstrumentation())`` (pydantic-ai before 1.95)."""

        def __init__(self, **options: Any) -> None:
            """Make the instrumentation; see the options of ``AdapterOptions``."""
            _hooks.install()
            super().__init__(AdapterOptions(**options))

        @property
        def settings(self) -> LucidicSettings:
            """These settings themselves, under the name that they have in later releases."""
            return self

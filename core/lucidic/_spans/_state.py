"""What we remember of a span that runs in this process, beside the span itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span


if TYPE_CHECKING:
    from lucidic._bound import Binding, Holder
    from lucidic._spans._privacy import Privacy

_STATE: Final = "_lucidic_state"
HERE_KEY: Final = "lucidic.here"
"""Context key: the state of our innermost span, also where another tracer has made its own span current on top."""


class TraceState:
    """What the spans of one trace of this process share: its session, once it has one."""

    __slots__ = ("session_id",)

    def __init__(self, session_id: str | None = None) -> None:
        self.session_id = session_id


class SpanState:
    """The session of a span, its place in the tree, and the context it started in."""

    # Defaults of the class, and no slots: most spans set none of these.
    provisional: bool = False
    """The framework may drop the span without ending it: it is not announced and not swept up."""
    astray: bool = False
    """OpenTelemetry put it below a span of another session, which a suspended generator left current.

    Neither that session nor another one is right: one trace, one session. So it has none, nor what is below it.
    """
    generator: Binding | None = None
    """The block of the generator that it runs in, where the context had that of another one."""
    holder: Holder | None = None
    """The generator that it started in, where a block of others named its session."""
    inside: Context | None = None
    """Of an open span of ours: the context of what runs below it, as it was made."""
    held: Binding | None = None
    """The block around ``inside``."""
    beside: bool = False
    """Another tracer's span for what an adapter of ours traces itself: stamped, and not kept a second time."""
    around: SpanState | None = None
    """Of such a span: the deepest of our tree in the code that started it."""
    moved: bool = False
    """OpenTelemetry's parent is such a span; our copy hangs below ``parent`` instead."""
    blocks: Mapping[str, Any] | None = None
    """What the blocks around its start set, as far as it had to look; else what is known of its parent holds."""
    privacy: Privacy | None = None
    """The rules of the handler that made the span; ``None``: the process's."""

    def __init__(
        self,
        *,
        session_id: str | None,
        parent: SpanState | None,
        trace_state: TraceState,
        keyed: str | None,
    ) -> None:
        self.span: Span | ReadableSpan = trace.INVALID_SPAN
        """The live span; once it has ended what is left of it, which does not refer back to this state."""
        self.session_id = session_id
        self.parent = parent
        self.trace = trace_state
        self.keyed = keyed
        """OpenInference's session key where the span started: a later one is an inner block's."""
        self.masked: set[object] = set()
        """Attribute keys, and (name, time) of events, that were masked when they were set.

        A mask is applied once; what others put on the span is masked on the way out.
        """
        self.told: dict[str, Any] = {}
        """What our copy of a plain root says besides what the span itself says."""
        if parent is not None and parent.generator is not None:
            self.generator = parent.generator

    def below_ours(self) -> SpanState | None:
        """Return this span, or what it runs below: the nearest that does not stand beside ours."""
        step: SpanState | None = self
        while step is not None and step.beside:
            step = step.around or step.parent
        return step

    def is_inside(self, other: SpanState) -> bool:
        """Tell whether this span is ``other`` or runs below it."""
        step: SpanState | None = self
        while step is not None:
            if step is other:
                return True
            step = step.parent
        return False


def state_of(span: object) -> SpanState | None:
    """Return the state of a span that this process started, else ``None`` (remote, not recording)."""
    state = getattr(span, _STATE, None)
    return state if isinstance(state, SpanState) else None


def remember(span: Span, state: SpanState) -> None:
    """Keep ``state`` on the span object, so that it lives exactly as long as the span is referred to."""
    setattr(span, _STATE, state)


def is_open(span: object) -> TypeGuard[Span]:
    """Tell whether the span has not ended yet."""
    return isinstance(span, ReadableSpan) and span.end_time is None

"""PydanticAI's instrumentation settings, with our tracer behind them."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.instrumented import InstrumentationSettings

from lucidic.adapterkit import AdapterOptions, guarded, make_tracer
from lucidic_adapters.pydantic_ai._runs import Request
from lucidic_adapters.pydantic_ai._span import FrameworkSpan
from lucidic_adapters.pydantic_ai._tracer import FrameworkTracer


_NEWEST_FORMATS = (5, 4, 3)
"""Formats of the SDK's own spans, the best first: 5 knows deferrals, 3 is what 1.56 has at most."""


class LucidicSettings(InstrumentationSettings):
    """Settings that turn PydanticAI's spans into OpenInference spans of lucidic.

    The SDK decides when a span starts and ends (it knows streams, replays and retries best); the
    messages come from its objects. Its own JSON of messages is not made at all.
    """

    def __init__(self, options: AdapterOptions, *, replaced: InstrumentationSettings | None = None) -> None:
        """Make the settings.

        Args:
            options: Our options.
            replaced: The settings that these stand in for; their choices about content hold on, and
                their metrics go on.

        """
        include_content = options.capture_content
        if include_content is None:
            include_content = replaced.include_content if replaced is not None else True
        choices: dict[str, Any] = {
            "tracer_provider": trace.NoOpTracerProvider(),
            "meter_provider": NoOpMeterProvider(),
            "include_content": include_content,
            "include_binary_content": replaced.include_binary_content if replaced is not None else True,
        }
        self._init_newest(choices)
        self.include_model_request_parameters = False
        if not include_content and options.capture_content is None:
            options = AdapterOptions(
                session_id=options.session_id,
                session_keys=options.session_keys,
                session_from=options.session_from,
                capture_content=False,
                mask=options.mask,
                tracer_provider=options.tracer_provider,
            )
        self.options = options
        self.replaced = replaced
        self.kit_tracer = make_tracer("lucidic.pydantic_ai", options)
        self.tracer = FrameworkTracer(
            self.kit_tracer, options.session_keys, binary=self.include_binary_content
        )

    def _init_newest(self, choices: dict[str, Any]) -> None:
        for version in _NEWEST_FORMATS:
            try:
                super().__init__(**choices, version=version)  # type: ignore[arg-type]  # older SDKs know fewer
            except ValueError:
                continue
            return

    def messages_to_otel_messages(self, *_: Any, **__: Any) -> list[Any]:
        """Return nothing: the messages are read from the objects themselves."""
        return []

    def system_instructions_attributes(self, instructions: str | None) -> dict[str, str]:
        """Return nothing: instructions are a message of the model's input."""
        return {}

    def handle_messages(
        self, input_messages: list[ModelMessage], response: ModelResponse, *rest: Any, **named: Any
    ) -> None:
        """Note what a model was sent and what it answered.

        The span and the parameters come after the response, in 1.x with the system's name before them.
        """
        span = next((item for item in rest if isinstance(item, FrameworkSpan)), named.get("span"))
        if not isinstance(span, FrameworkSpan):
            return
        with guarded("pydantic_ai messages"):
            parameters = named.get("parameters") or (rest[-1] if rest and rest[-1] is not span else None)
            known = span.request
            span.request = Request(
                messages=input_messages,
                settings=known.settings if known is not None else None,
                parameters=parameters if parameters is not None else getattr(known, "parameters", None),
                model=known.model if known is not None else None,
            )
            span.response = response
            if span.run is not None:
                span.run.response, span.run.sent = response, input_messages
                span.run.learn(span.request.parameters)

    def record_metrics(self, *values: Any, **named: Any) -> None:
        """Leave metrics to the settings that these stand in for."""
        if self.replaced is not None:
            self.replaced.record_metrics(*values, **named)

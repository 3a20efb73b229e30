"""The attributes that runs of every kind have: name, input, output, metadata, tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from langchain_core.outputs import ChatGeneration, LLMResult

from lucidic.adapterkit import user_attributes
from lucidic_adapters.langchain import _agents
from lucidic_adapters.langchain._control import INTERRUPT_VALUE
from lucidic_adapters.langchain._io import words_in, words_out
from lucidic_adapters.langchain._models import answer
from lucidic_adapters.langchain._runs import Run
from lucidic_adapters.langchain._tools import json_io


_NO_INPUT_YET: Final = {"input": ""}
"""What LangChain starts a streamed run with; or what somebody really asked."""
_NO_TAGS: Final = _agents.read_tags(())


def describe(run: Run, name: str, metadata: Mapping[str, Any], tags: Sequence[str] | None) -> dict[str, Any]:
    """Describe what a run is: its place in agents and graphs, and what the user put beside it."""
    marks = _NO_TAGS if not tags else _agents.read_tags(tuple(tags))
    found = _agents.identity(run, name, metadata, is_node=marks.is_node)
    own = _agents.own_metadata(metadata) if metadata else None
    if own or marks.own:
        found.update(user_attributes(own, marks.own))
    if marks.attempt:
        found.update(marks.attempt)
    return found


def run_name(name: str | None, serialized: Mapping[str, Any] | None, default: str) -> str:
    """Return the name of a run: the one given, else its class's."""
    if name:
        return name
    if serialized:
        ids = serialized.get("id")
        return str(serialized.get("name") or (ids[-1] if ids else default))
    return default


def input_of(run: Run, value: object) -> dict[str, Any]:
    """Describe what went in: a person's words for a readable run, JSON for the others."""
    words = _words(words_in, value) if run.readable else None
    return json_io("input", value if words is None else words)


def output_of(run: Run, value: object) -> dict[str, Any]:
    """Describe what came out: the answer's words for a readable run, JSON for the others."""
    asked = None if run.pause is None else run.pause.get(INTERRUPT_VALUE)
    words = (asked or _words(words_out, value)) if run.readable else None
    return json_io("output", value if words is None else words)


def _words(find: Callable[[Any], str | None], value: object) -> str | None:
    try:
        return find(value)
    except Exception:  # noqa: BLE001  # methods of foreign objects: the value is shown as JSON
        return None


def is_no_input_yet(inputs: object) -> bool:
    """Tell whether a run was started with what LangChain says before it has read the input of a stream."""
    # Looked at with care: comparing what a user gives may raise, or give an array.
    return (
        isinstance(inputs, dict)
        and len(inputs) == 1
        and type(said := inputs.get("input")) is str
        and not said
    )


def late_input(run: Run, inputs: object) -> dict[str, Any]:
    """Describe the input of a streamed run, which only its end knows."""
    if not run.defers_input:
        return {}
    return input_of(run, _NO_INPUT_YET if inputs is None else inputs)


def left_early(
    run: Run, error: BaseException | str | None, attributes: Mapping[str, Any]
) -> tuple[BaseException | str | None, Mapping[str, Any]]:
    """Tell the end of a streamed run as its consumer saw it: left early, or broken off; and what had come by then.

    LangChain ends a run whose stream was left as if nothing were the matter, or as cancelled where a task read it.
    """
    streamed = run.streamed
    if streamed.left and not isinstance(error, Exception):
        error = GeneratorExit()
    if error is None or (isinstance(error, Exception) and not streamed.counts_in_failures):
        return error, attributes
    given = streamed.output()
    return error, attributes if given is None else {**attributes, **output_of(run, given)}


def answered(run: Run, response: LLMResult, *, failed: bool = False) -> dict[str, Any]:
    """Describe what a model answered, for readers of both kinds; or what had come when it ``failed``."""
    generations = [generation for batch in response.generations for generation in batch]
    messages = [generation.message for generation in generations if isinstance(generation, ChatGeneration)]
    found = answer(run.request, generations, messages, response.llm_output or {})
    said: list[Any] = [*messages] or [generation.text for generation in generations]
    if said and not (failed and _is_empty(said)):
        found.update(output_of(run, said[0] if len(said) == 1 else said))
    return found


def _is_empty(said: Sequence[Any]) -> bool:
    """Tell whether nothing was said: LangChain makes an empty answer of a provider's error."""
    return not any(
        item if isinstance(item, str) else item.content or getattr(item, "tool_calls", None) for item in said
    )

"""What the SDK's spans hold, as attributes: a name and a kind at the start, everything else at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes

from lucidic.adapterkit import (
    agent_attributes,
    dumps,
    graph_node_attributes,
    io_attributes,
    json_object,
    tool_attributes,
)
from lucidic_adapters.openai_agents import _models
from lucidic_adapters.openai_agents._frames import (
    FINAL,
    GUARDRAIL,
    HANDOFF,
    NATIVE_CALLS,
    TOOL_CALL,
    locals_of,
)
from lucidic_adapters.openai_agents._responses import (
    arguments_as_input,
    get,
    input_messages,
    last_words,
    text_of,
)
from lucidic_adapters.openai_agents._state import Work
from lucidic_adapters.openai_agents._tools import running_tool


TASK: Final = "task"
KINDS: Final[Mapping[str, str]] = {
    "agent": "AGENT",
    "function": "TOOL",
    "generation": "LLM",
    "guardrail": "GUARDRAIL",
    "handoff": "TOOL",
    "response": "LLM",
    "speech": "LLM",
    "transcription": "LLM",
}
"""OpenInference's kind of each type of span; all others are CHAIN."""
MODEL_KINDS: Final = frozenset({"generation", "response", "speech", "transcription"})

Attributes = dict[str, Any]


def trace_attributes(trace: object) -> Attributes:
    """Describe a workflow: the SDK's id of it and its metadata."""
    found: Attributes = {"openai_agents.trace_id": get(trace, "trace_id")}
    metadata = get(trace, "metadata")
    if isinstance(metadata, Mapping) and metadata:
        found[SpanAttributes.METADATA] = json_object(metadata)
    return found


def words_of(given: object) -> str | None:
    """Return the user's words in the input of a run; a resumed state's are those it was started with."""
    given = get(given, "_original_input", given)
    if isinstance(given, str) or given is None:
        return given or None
    messages = input_messages(given)
    return last_words(messages) or text_of(messages)


def started(data: object, parent: Work | None) -> tuple[str, str, Attributes]:
    """Return the type, the name and the first attributes of a span that starts."""
    kind = str(getattr(data, "type", None) or "custom")
    name = getattr(data, "name", None)
    attributes: Attributes = {}
    if kind == "agent":
        attributes = agent_attributes(name) | _graph(str(name), parent)
    elif kind == "turn":
        number = getattr(data, "turn", None)
        attributes = {
            "openai_agents.turn": number,
            "openai_agents.agent": getattr(data, "agent_name", None),
        }
        name = f"turn {number}"
    elif kind == TASK:
        name = f"run {name}" if name else "run"
    elif kind == "function":
        attributes = _called_tool(str(name))
    elif kind == "mcp_tools":
        name = f"list tools of {get(data, 'server')}"
    return kind, str(name or kind), attributes


def _called_tool(name: str) -> Attributes:
    """Describe the tool that starts, and the call that asked for it."""
    frame = locals_of(TOOL_CALL)
    tool, call = frame.get("func_tool"), frame.get("tool_call")
    if tool is None:
        call = _native_call()
    return running_tool(name, tool) | tool_attributes(name, id=get(call, "call_id"))


def ended(work: Work, span: Any) -> Attributes:
    """Return the attributes of a span that ends."""
    describe = _ENDED.get(work.kind, _custom)
    return describe(work, span.span_data)


def _graph(name: str, parent: Work | None) -> Attributes:
    """Place an agent in the graph: below the one that handed over to it, else the one that called it."""
    came_from = parent.handoffs.pop(name, None) if parent is not None and parent.handoffs else None
    if came_from is None and parent is not None:
        agent = parent if parent.kind == "agent" else parent.above("agent")
        came_from = None if agent is None else agent.name
    return graph_node_attributes(name, name=name, parent_id=came_from)


def _agent(work: Work, data: Any) -> Attributes:
    found: Attributes = {
        "openai_agents.agent.tools": list(getattr(data, "tools", None) or ()) or None,
        "openai_agents.agent.handoffs": list(getattr(data, "handoffs", None) or ()) or None,
        "openai_agents.agent.output_type": getattr(data, "output_type", None),
    }
    if work.flow.include_data:
        turn = locals_of(FINAL, deepest=8).get("turn_result")
        # What the model said last is not all: a tool's result may be final, and an output may be structured.
        if (final := getattr(getattr(turn, "next_step", None), "output", None)) is not None:
            work.answer = final
            work.say(None, final)
        found |= io_attributes(input=work.words, output=work.answer)
    return found | _used(data)


def _run(_work: Work, data: Any) -> Attributes:
    return _used(data)


def _used(data: object) -> Attributes:
    """Keep sums of tokens under keys of ours: under OpenInference's they would be counted twice."""
    usage = getattr(data, "usage", None)
    if not usage or not isinstance(usage, Mapping):
        return {}
    return {f"openai_agents.usage.{name}": value for name, value in usage.items() if isinstance(value, int)}


def _function(_work: Work, data: Any) -> Attributes:
    arguments, result = getattr(data, "input", None), getattr(data, "output", None)
    found = tool_attributes(str(data.name), arguments=arguments)
    found |= arguments_as_input(arguments) | io_attributes(output=result)
    if mcp := getattr(data, "mcp_data", None):
        found["openai_agents.mcp.server"] = get(mcp, "server")
    return found


def _native_call() -> object:
    """Return the model's call that a shell, an editor or a computer carries out."""
    for names in NATIVE_CALLS:
        call = get(locals_of(names).get(names[0]), "tool_call")
        if call is not None:
            return call
    return None


def _handoff(work: Work, data: Any) -> Attributes:
    source, target = get(data, "from_agent"), get(data, "to_agent")
    actual = locals_of(HANDOFF).get("actual_handoff")
    handoff, call = get(actual, "handoff"), get(actual, "tool_call")
    work.live.rename(f"handoff to {target}" if target else "handoff")
    agent = work.above("agent")
    if agent is not None and agent.parent is not None and source and target:
        if agent.parent.handoffs is None:
            agent.parent.handoffs = {}
        agent.parent.handoffs[str(target)] = str(source)
    arguments = get(call, "arguments") if work.flow.include_data else None
    found = tool_attributes(
        str(get(handoff, "tool_name") or "handoff"),
        description=get(handoff, "tool_description"),
        arguments=arguments or {},
        id=get(call, "call_id"),
    )
    found |= io_attributes(input=source, output=target)
    found["openai_agents.handoff.from"] = source
    found["openai_agents.handoff.to"] = target
    return found


def _guardrail(work: Work, data: Any) -> Attributes:
    frame = locals_of(GUARDRAIL)
    side = "output" if "Output" in type(frame.get("guardrail")).__name__ else "input"
    outcome: Attributes = {"triggered": bool(get(data, "triggered"))}
    found: Attributes = {"openai_agents.guardrail.triggered": outcome["triggered"]}
    if frame:
        found["openai_agents.guardrail.side"] = side
    if work.flow.include_data:
        checked = frame.get("agent_output") if side == "output" else words_of(frame.get("input"))
        info = get(get(frame.get("result"), "output"), "output_info")
        if info is not None:
            outcome["output_info"] = info
        found |= io_attributes(input=checked)
    return found | io_attributes(output=outcome)


def _mcp_tools(_work: Work, data: Any) -> Attributes:
    server = get(data, "server")
    found = io_attributes(input=server, output=get(data, "result"))
    found["openai_agents.mcp.server"] = server
    return found


def _custom(_work: Work, data: Any) -> Attributes:
    bag = get(data, "data")
    if not isinstance(bag, Mapping):
        given = {name: get(data, name) for name in ("input", "output")}
        return io_attributes(**{name: value for name, value in given.items() if value is not None})
    rest = {name: value for name, value in bag.items() if name not in ("input", "output")}
    found = io_attributes(input=bag.get("input"), output=bag.get("output"))
    if rest:
        found[SpanAttributes.METADATA] = dumps(rest)
    return found


_ENDED: Final[Mapping[str, Callable[[Work, Any], Attributes]]] = {
    "agent": _agent,
    "function": _function,
    "generation": _models.generation,
    "guardrail": _guardrail,
    "handoff": _handoff,
    "mcp_tools": _mcp_tools,
    "response": _models.response,
    "speech": _models.speech,
    TASK: _run,
    "transcription": _models.transcription,
    "turn": _run,
}

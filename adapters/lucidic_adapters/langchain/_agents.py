"""What a run is: an agent, a graph, a node of one, or a plain chain. Told by LangChain's own marks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from lucidic.adapterkit import agent_attributes, graph_node_attributes
from lucidic_adapters.langchain._runs import Run


_AGENT: Final = "langchain_create_agent"
"""``ls_integration`` of the runs of ``langchain.agents.create_agent`` (langchain 1.0)."""
_AGENT_MAKERS: Final = ("langchain.agents.factory", "langgraph.prebuilt.chat_agent_executor")
_MODEL_NODES: Final = ("model", "agent")
_GRAPH: Final = "langgraph"
_OWN_KINDS: Final = {"prompt": "PROMPT", "retriever": "RETRIEVER", "tool": "TOOL"}
_INTERNAL_TAGS: Final = (
    "seq:step",
    "graph:step",
    "map:key:",
    "langsmith:",
    "retry:attempt:",
    "condition:",
    "branch:",
)
_INTERNAL_KEYS: Final = ("ls_", "lc_", "langgraph_", "__pregel", "checkpoint_", "langfuse_", "__")
_RETRY: Final = "retry:attempt:"
RETRY_ATTEMPT: Final = "lucidic.retry.attempt"


def is_agent(graph: Any) -> bool:
    """Tell whether a graph was made by ``create_agent`` or ``create_react_agent``: by whose code its model node is."""
    for name in _MODEL_NODES:
        node = graph.nodes.get(name)
        code = getattr(getattr(node, "bound", None), "func", None)
        if getattr(code, "__module__", None) in _AGENT_MAKERS:
            return True
    return False


def chain_kind(
    run_type: str | None, metadata: Mapping[str, Any], parent: Run | None, *, told: bool = False
) -> str:
    """Return the OpenInference kind of a chain run.

    An agent is a run of a graph that is an agent's (``told``), or one that ``create_agent`` marks, where
    the mark or the agent's name begins: not a run with "agent" in its name.
    """
    if told:
        return "AGENT"
    if metadata.get("ls_integration") == _AGENT:
        above = parent
        if above is None or above.integration != _AGENT or above.agent != metadata.get("lc_agent_name"):
            return "AGENT"
    return _OWN_KINDS.get(run_type or "", "CHAIN")


def identity(run: Run, name: str, metadata: Mapping[str, Any], *, is_node: bool) -> dict[str, Any]:
    """Describe the agent and the graph node that a run is, and remember both for the runs below."""
    parent = run.parent
    run.integration = metadata.get("ls_integration")
    run.agent = metadata.get("lc_agent_name")
    run.node_id = None if parent is None else parent.node_id
    found: dict[str, Any] = {}
    if run.kind == "AGENT":
        found.update(agent_attributes(run.agent or name))
    if is_node and "langgraph_node" in metadata:
        above = run.node_id
        run.node_id = str(metadata.get("langgraph_checkpoint_ns") or metadata["langgraph_node"])
        found.update(
            graph_node_attributes(run.node_id, name=str(metadata["langgraph_node"]), parent_id=above)
        )
        found.update(_attempt(run, parent))
    elif run.kind == "AGENT" or (run.integration == _GRAPH and _begins_graph(parent, metadata)):
        above = run.node_id
        run.node_id = name if above is None else f"{above}/{name}"
        found.update(graph_node_attributes(run.node_id, name=name, parent_id=above))
    return found


def _attempt(run: Run, parent: Run | None) -> dict[str, Any]:
    """Number the attempts of a node: a retry runs the same task of the same graph again."""
    if parent is None or run.node_id is None:
        return {}
    if parent.attempts is None:
        parent.attempts = {}
    tried = parent.attempts[run.node_id] = parent.attempts.get(run.node_id, 0) + 1
    return {RETRY_ATTEMPT: tried} if tried > 1 else {}


def _begins_graph(parent: Run | None, metadata: Mapping[str, Any]) -> bool:
    return parent is None or (parent.integration != _GRAPH and "langgraph_node" not in metadata)


class Tags(NamedTuple):
    """What the tags of a run say."""

    own: tuple[str, ...]
    """The user's, LangChain's own entries left out."""
    is_node: bool
    """The run is a node of a graph."""
    attempt: dict[str, int]
    """The number of the attempt, where ``with_retry`` tagged the run (from the second on)."""


@lru_cache(maxsize=1024)
def read_tags(tags: tuple[str, ...]) -> Tags:
    """Read the tags of a run; the same ones come again with each call."""
    attempts = [tag[len(_RETRY) :] for tag in tags if tag.startswith(_RETRY)]
    return Tags(
        own=tuple(tag for tag in tags if not tag.startswith(_INTERNAL_TAGS)),
        is_node=any(tag.startswith("graph:step:") for tag in tags),
        attempt=next(({RETRY_ATTEMPT: int(text)} for text in attempts if text.isdigit()), {}),
    )


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user put in metadata, LangChain's own entries left out."""
    return {key: value for key, value in metadata.items() if not key.startswith(_INTERNAL_KEYS)}

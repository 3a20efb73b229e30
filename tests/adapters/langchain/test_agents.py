"""What the spans say of agents, graphs and turns: who ran, where in the graph, and a person's words at the root."""

from __future__ import annotations

from typing import Annotated

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send
from opentelemetry.trace import StatusCode

from lucidic.testing import assert_openinference
from lucidic_adapters.langchain._io import words_in, words_out


USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


def _agent(lc, name, answers, tools=()):
    return create_agent(lc.chat(*answers), list(tools), name=name)


def test_agent_of_any_name(lc, config, tree):
    """``create_agent`` is an AGENT whatever its name; its nodes are not, whatever theirs."""
    _agent(lc, "bob", ["hi"]).invoke({"messages": [("user", "hello")]}, config)
    span = tree.one("AGENT")
    assert span.attributes["agent.name"] == "bob"
    assert span.attributes["graph.node.id"] == "bob"
    assert span.attributes["input.value"] == "hello"
    assert span.attributes["output.value"] == "hi"


def test_agent_called_with_metadata(lc, config, tree):
    """An agent is one also where the call brings metadata of its own."""
    agent = _agent(lc, "bob", ["hi"])
    agent.invoke({"messages": [("user", "hello")]}, {**config, "metadata": {"thread_id": "t-1"}})
    assert tree.one("AGENT").attributes["agent.name"] == "bob"


@pytest.mark.filterwarnings("ignore::langgraph.warnings.LangGraphDeprecatedSinceV10")
async def test_react_agent(lc, config, tree):
    """``create_react_agent`` of langgraph is one AGENT; its node of that name is none."""
    from langgraph.prebuilt import create_react_agent

    agent = create_react_agent(
        lc.chat(lc.calling(("look", {"key": "a"}, "c1")), "hi"), [lc.Tool()], name="bob"
    )
    agent.invoke({"messages": [("user", "hello")]}, config)
    await agent.ainvoke({"messages": [("user", "hello")]}, config)
    assert [span.attributes["agent.name"] for span in tree.of_kind("AGENT")] == ["bob", "bob"]
    assert {span.attributes["output.value"] for span in tree.of_kind("AGENT")} == {"hi"}


def test_hand_over_between_agents(lc, config, captured, tree):
    """Agents that are nodes of a graph, handing over by a tool's command, are AGENTs of one trace without errors."""

    @tool
    def to_billing(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Hand over."""
        done = ToolMessage("handed over", tool_call_id=tool_call_id)
        return Command(goto="billing", graph=Command.PARENT, update={"messages": [done]})

    graph = StateGraph(MessagesState)
    graph.add_node("front", _agent(lc, "front", [lc.calling(("to_billing", {}, "c1"))], [to_billing]))
    graph.add_node("billing", _agent(lc, "billing", ["refunded"]))
    graph.add_edge(START, "front")
    answer = graph.compile(name="office").invoke({"messages": [("user", "hello")]}, config)
    assert answer["messages"][-1].content == "refunded"
    agents = sorted(tree.of_kind("AGENT"), key=lambda span: span.start_time)
    assert [span.attributes["agent.name"] for span in agents] == ["front", "billing"]
    assert [tree.parent(span).attributes["graph.node.name"] for span in agents] == ["front", "billing"]
    assert not [span.name for span in captured.spans if span.status.status_code is StatusCode.ERROR]
    assert len(tree.traces()) == 1


def test_sent_copies(lc, config, tree):
    """Each copy of a node that ``Send`` starts is a node of its own, of the same name."""
    graph = StateGraph(dict).add_node("copy", lambda _: None)
    graph.add_conditional_edges(START, lambda _: [Send("copy", {"n": 1}), Send("copy", {"n": 2})])
    graph.compile(name="graph").invoke({"a": 1}, config)
    copies = [span.attributes for span in tree.spans if span.name == "copy"]
    assert {found["graph.node.name"] for found in copies} == {"copy"}
    assert len({found["graph.node.id"] for found in copies}) == 2
    assert {found["graph.node.parent_id"] for found in copies} == {"graph"}


def test_middleware(lc, config, captured, tree):
    """Middleware of an agent is below it, and the user's spans below the middleware that opened them."""
    from langchain.agents.middleware import AgentMiddleware

    class Watching(AgentMiddleware):
        def before_model(self, state, runtime):
            lc.user("in-before")

        def wrap_model_call(self, request, handler):
            lc.user("in-wrap")
            return handler(request)

        def wrap_tool_call(self, request, handler):
            lc.user("in-tool-wrap")
            return handler(request)

    agent = create_agent(
        lc.chat(lc.calling(("look", {"key": "a"}, "c1")), "hi"),
        [lc.Tool()],
        name="bob",
        middleware=[Watching()],
    )
    agent.invoke({"messages": [("user", "hello")]}, config)
    assert set(tree.names_above("in-before")) == {"Watching.before_model"}
    assert set(tree.names_above("in-wrap")) == {"model"}
    assert tree.names_above("in-tool-wrap") == ["tools"]
    assert len(tree.of_kind("AGENT")) == 1
    assert len(tree.traces()) == 1


def test_agents_without_names(lc, config, tree):
    """An agent without a name is one AGENT."""
    _agent(lc, None, ["hi"]).invoke({"messages": [("user", "hello")]}, config)
    assert len(tree.of_kind("AGENT")) == 1


def test_node_named_agent(lc, config, tree):
    """A node that is named agent is a CHAIN."""
    graph = (
        StateGraph(dict)
        .add_node("agent", lambda _: {"a": 1})
        .add_edge(START, "agent")
        .compile(name="agent graph")
    )
    graph.invoke({"a": 0}, config)
    assert tree.of_kind("AGENT") == []


@pytest.mark.parametrize("boss", ["boss", None])
def test_subagents(lc, config, tree, boss):
    """An agent with a name inside an agent's tool is an AGENT of its own, below the tool."""
    helper = _agent(lc, "helper", ["helped"])

    @tool
    def ask(question: str) -> str:
        """Ask the helper."""
        return helper.invoke({"messages": [("user", question)]})["messages"][-1].content

    _agent(lc, boss, [lc.calling(("ask", {"question": "q"}, "c1")), "done"], [ask]).invoke(
        {"messages": [("user", "hello")]}, config
    )
    agents = sorted(tree.of_kind("AGENT"), key=lambda span: span.start_time)
    assert len(agents) == 2
    assert tree.parent(agents[1]).name == "ask"
    assert agents[1].attributes["input.value"] == "q"
    assert len(tree.traces()) == 1


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@pytest.mark.filterwarnings("ignore::langgraph.warnings.LangGraphDeprecatedSinceV10")
def test_classic_executor(lc, config, tree):
    """langchain-classic's AgentExecutor is an AGENT."""
    classic = pytest.importorskip("langchain_classic.agents")
    from langchain_classic.agents import AgentExecutor, BaseSingleActionAgent
    from langchain_core.agents import AgentAction, AgentFinish

    assert classic

    class Agent(BaseSingleActionAgent):
        @property
        def input_keys(self):
            return ["input"]

        def plan(self, intermediate_steps, callbacks=None, **kwargs):
            if intermediate_steps:
                return AgentFinish({"output": "done"}, "")
            return AgentAction("look", {"key": "a"}, "")

        async def aplan(self, *args, **kwargs):
            return self.plan(*args, **kwargs)

    AgentExecutor(agent=Agent(), tools=[lc.Tool()]).invoke({"input": "hello"}, config)
    span = tree.one("AGENT")
    assert span.attributes["input.value"] == "hello"
    assert span.attributes["output.value"] == "done"
    assert tree.kinds_above("look") == ["AGENT"]


def test_graph_nodes(lc, config, tree):
    """Nodes have their place in the graph: id, name and the node they are inside of."""
    inner = (
        StateGraph(dict).add_node("deep", lambda _: {"a": 2}).add_edge(START, "deep").compile(name="inner")
    )
    outer = StateGraph(dict).add_node("sub", inner).add_edge(START, "sub").compile(name="outer")
    outer.invoke({"a": 0}, config)
    by_name = {span.attributes.get("graph.node.name"): span.attributes for span in tree.spans}
    ids = {name: found.get("graph.node.id") for name, found in by_name.items()}
    assert by_name["sub"]["graph.node.parent_id"] == ids["outer"] == "outer"
    assert by_name["deep"]["graph.node.parent_id"] == ids["sub"]
    assert len(set(ids.values())) == len(ids)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("hello", "hello"),
        ({"messages": [("system", "s"), ("user", "hello")]}, "hello"),
        ({"messages": [{"role": "user", "content": "hello"}]}, "hello"),
        (
            {
                "messages": [
                    HumanMessage([{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": "u"}])
                ]
            },
            "hello",
        ),
        ({"messages": "hello"}, "hello"),
        ([HumanMessage("hello")], "hello"),
        ({"input": "hello", "chat_history": []}, "hello"),
        ({"topic": "hello"}, "hello"),
        ({"a": 1, "b": 2}, None),
        (None, None),
    ],
)
def test_words_of_a_person(given, words):
    """A root's input is what the person said, whatever form it came in."""
    assert words_in(given) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"messages": [HumanMessage("q"), AIMessage("answer")]}, "answer"),
        ({"messages": [HumanMessage("q"), AIMessage("")], "structured_response": {"a": 1}}, '{"a": 1}'),
        (AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "answer"}]), "answer"),
        (AIMessage("", additional_kwargs={"refusal": "I will not"}), "I will not"),
        ({"input": "q", "output": "answer"}, "answer"),
        ("answer", "answer"),
        ({"a": 1}, None),
    ],
)
def test_words_of_the_answer(given, words):
    """A root's output is the answer's words."""
    assert words_out(given) == words


def test_openinference(lc, config, captured):
    """A session's spans of every kind pass the validator."""

    @tool
    def search(query: str) -> str:
        """Search."""
        return lc.Retriever().invoke(query)[0].page_content

    answer = AIMessage(
        "done", usage_metadata=USAGE, response_metadata={"model_name": "gpt-4o", "finish_reason": "stop"}
    )
    agent = _agent(lc, "bob", [lc.calling(("search", {"query": "q"}, "c1")), answer], [search])
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | lc.chat(answer)
    with_thread = {**config, "configurable": {"thread_id": "t-1"}}
    agent.invoke({"messages": [("user", "hello")]}, with_thread)
    chain.invoke({"q": "hello"}, with_thread)
    list(chain.stream({"q": "hello"}, with_thread))
    assert_openinference([span for span in captured.spans if span.instrumentation_scope.name != "user"])

"""What the spans say of prompts and their templates, of retrievers and rerankers, and of states of every form."""

from __future__ import annotations

import dataclasses
import json
from typing import TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

import lucidic as lai


TEMPLATE, VARIABLES = "llm.prompt_template.template", "llm.prompt_template.variables"


def test_templates(lc, config, tree):
    """A prompt's span has the templates of all its messages, and every variable, partial ones too."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "be {mood}"), MessagesPlaceholder("history", optional=True), ("human", "{q}")]
    ).partial(mood="kind")
    for _ in range(2):  # a prompt is serialized once
        (prompt | lc.chat()).invoke({"q": "why"}, config)
    for span in tree.of_kind("PROMPT"):
        assert span.attributes[TEMPLATE] == "be {mood}\n{q}"
        assert json.loads(span.attributes[VARIABLES]) == {"mood": "kind", "q": "why", "history": []}
    assert len(tree.of_kind("PROMPT")) == 2


def test_variables_that_are_functions(lc, config, tree):
    """A partial variable that a function fills in is not taken for its value."""
    prompt = PromptTemplate.from_template("{day}: {q}", partial_variables={"day": lambda: "Monday"})
    prompt.invoke({"q": "why"}, config)
    span = tree.one("PROMPT")
    assert span.attributes[TEMPLATE] == "{day}: {q}"
    assert json.loads(span.attributes[VARIABLES]) == {"q": "why"}


def test_version(lc, config, tree):
    """A prompt from LangChain's hub tells its commit as its version; a block's version is on model calls."""
    prompt = ChatPromptTemplate.from_messages([("human", "{q}")])
    prompt.metadata = {"lc_hub_owner": "me", "lc_hub_repo": "p", "lc_hub_commit_hash": "abc123"}
    with lai.using_attributes(prompt_template="{q}", prompt_template_version="v7"):
        (prompt | lc.chat()).invoke({"q": "why"}, config)
    version = "llm.prompt_template.version"
    assert tree.one("PROMPT").attributes[version] == "abc123"
    assert tree.one("LLM").attributes[version] == "v7"


def test_few_shots(lc, config, tree):
    """A prompt of examples tells what templates it has, and makes no error."""
    example = ChatPromptTemplate.from_messages([("human", "{i}"), ("ai", "{o}")])
    shots = FewShotChatMessagePromptTemplate(example_prompt=example, examples=[{"i": "1", "o": "2"}])
    ChatPromptTemplate.from_messages([shots, ("human", "{q}")]).invoke({"q": "3"}, config)
    assert tree.one("PROMPT").attributes[TEMPLATE].endswith("{q}")


def test_blocks_metadata_and_tags(lc, config, tree):
    """What a block and the run itself put beside it are both told; the run's own is nearer and counts."""
    chain = RunnableLambda(lambda x: lc.chat().invoke("x"), name="f")
    with lai.using_attributes(metadata={"a": 1, "b": 1}, tags=["block"]):
        chain.invoke("x", {**config, "metadata": {"b": 2}, "tags": ["run"]})
    for span in [span for span in tree.spans if lc.kind(span)]:
        assert json.loads(span.attributes["metadata"]) == {"a": 1, "b": 2}
        assert list(span.attributes["tag.tags"]) == ["run", "block"]


@pytest.mark.parametrize("key", ["score", "relevance_score"])
def test_scores_of_documents(lc, config, tree, key):
    """A document's score is told from where a vector store or a reranker leaves it."""

    class Scored(lc.Retriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document("a", metadata={key: 0.25}), Document("b", metadata={key: "high"})]

    Scored().invoke("q", config)
    found = tree.one("RETRIEVER").attributes
    assert found["retrieval.documents.0.document.score"] == 0.25
    assert "retrieval.documents.1.document.score" not in found


@dataclasses.dataclass
class AsDataclass:
    messages: list
    note: str = ""


class AsModel(BaseModel):
    messages: list
    note: str = ""


class AsDict(TypedDict):
    messages: list
    note: str


@pytest.mark.parametrize("form", [AsDataclass, AsModel, AsDict])
def test_states(lc, config, tree, form):
    """A graph's state of any form is words at its root and JSON at its nodes."""

    def node(state):
        return {"messages": [HumanMessage("hello"), AIMessage("hi")], "note": "seen"}

    graph = StateGraph(form).add_node("node", node).add_edge(START, "node").compile(name="graph")
    graph.invoke(form(messages=[HumanMessage("hello")], note=""), config)
    by_name = {span.name: span.attributes for span in tree.spans}
    assert by_name["graph"]["input.value"] == "hello"
    assert by_name["graph"]["output.value"] == "hi"
    for side in ("input", "output"):
        assert by_name["node"][f"{side}.mime_type"] == "application/json"
        said = json.loads(by_name["node"][f"{side}.value"])["messages"]
        assert said[0]["content"] == "hello"

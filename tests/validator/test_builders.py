"""What the attribute builders write is conformant, whatever the facts are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidic import adapterkit
from lucidic.testing import validate_openinference


TEXT = st.text(max_size=10)
MAYBE = st.none() | TEXT
VALUES = st.dictionaries(TEXT, st.integers() | st.floats() | st.binary() | st.lists(st.dates()), max_size=2)
COUNT = st.none() | st.integers(0, 100)
CALL = st.builds(adapterkit.ToolCall, TEXT.filter(bool), st.just("look"), MAYBE | VALUES)
DOCUMENT = st.builds(adapterkit.Document, TEXT.filter(bool), MAYBE | st.integers(), st.floats(), VALUES)
PART = st.one_of(
    st.builds(adapterkit.Text, TEXT),
    st.builds(adapterkit.Image, TEXT),
    st.builds(adapterkit.Audio, MAYBE, MAYBE, MAYBE),
    st.builds(adapterkit.Reasoning, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE),
    DOCUMENT,
    CALL,
)
MESSAGE = st.builds(
    adapterkit.Message,
    st.sampled_from(["system", "user", "assistant", "developer"]),
    TEXT | st.lists(PART, max_size=3),
    st.lists(CALL, max_size=2),
)
TOOL = st.builds(adapterkit.ToolSchema, st.just("look"), MAYBE, st.none() | VALUES)


def _found(kind, attributes, name="span"):
    span = {
        "trace_id": "t",
        "span_id": "a",
        "name": name,
        "status": "OK",
        "attributes": {"openinference.span.kind": kind, **attributes},
    }
    return [str(v) for v in validate_openinference([span], sessions=False) if v.severity == "error"]


@given(
    st.lists(MESSAGE, max_size=3),
    st.lists(TOOL, max_size=2),
    st.none() | VALUES,
    st.builds(adapterkit.Usage, COUNT, COUNT, COUNT),
    st.lists(TEXT, max_size=2),
)
def test_model_calls_are_conformant(messages, tools, parameters, usage, texts):
    """A model call described by the builders breaks no rule of the specification."""
    attributes = adapterkit.llm_attributes(
        provider="openai",
        request_model="gpt-4o",
        input_messages=messages,
        output_messages=messages,
        tools=tools,
        invocation_parameters=parameters,
        usage=usage,
        prompts=texts,
        choices=texts,
    )

    assert [] == _found("LLM", attributes)


@given(MAYBE, MAYBE | VALUES | st.lists(TEXT), MAYBE | VALUES)
def test_tools_and_values_are_conformant(description, arguments, output):
    """A tool's run with any arguments and any result breaks no rule of the specification."""
    attributes = {
        **adapterkit.tool_attributes("look", description=description, arguments=arguments),
        **adapterkit.io_attributes(arguments, output),
    }

    assert [] == _found("TOOL", attributes)


@given(st.lists(DOCUMENT, max_size=3), st.lists(st.lists(st.integers(0, 9) | st.floats(0, 1)), max_size=2))
def test_documents_and_vectors_are_conformant(documents, vectors):
    """Retrievers, rerankers and embeddings break no rule of the specification."""
    assert [] == _found("RETRIEVER", adapterkit.retriever_attributes(documents))
    reranker = adapterkit.reranker_attributes(query="q", input_documents=documents)
    assert [] == _found("RERANKER", reranker)
    embedding = adapterkit.embedding_attributes(model="e", vectors=vectors)
    assert [] == _found("EMBEDDING", embedding, "CreateEmbeddings")

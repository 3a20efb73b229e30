"""From facts to flattened OpenInference attributes (OpenInference ``spec/semantic_conventions.md``).

The functions return new dictionaries of primitive values; what is None or empty is left out. They do not raise
for content of a wrong type: it is written as text. Long base64 data stays: masking, later, is what cuts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from openinference.semconv.trace import (
    ChoiceAttributes,
    EmbeddingAttributes,
    PromptAttributes,
    RerankerAttributes,
    SpanAttributes,
    ToolAttributes,
)

from lucidic._spans._facts import Document, Message, ToolSchema, Usage
from lucidic._spans._json import clean, dumps, json_object
from lucidic._spans._messages import (
    Attributes,
    as_count,
    as_text,
    message_attributes,
    put,
    put_documents,
    put_texts,
)
from lucidic._spans._vendors import provider_name, system_name


_USAGE: Final = (
    ("cache_read", SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_READ),
    ("cache_write", SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_WRITE),
    ("audio_in", SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_AUDIO),
    ("reasoning", SpanAttributes.LLM_TOKEN_COUNT_COMPLETION_DETAILS_REASONING),
    ("audio_out", SpanAttributes.LLM_TOKEN_COUNT_COMPLETION_DETAILS_AUDIO),
)


def llm_attributes(
    *,
    provider: str | None = None,
    system: str | None = None,
    model: str | None = None,
    request_model: str | None = None,
    response_model: str | None = None,
    input_messages: Sequence[Message] = (),
    output_messages: Sequence[Message] = (),
    tools: Sequence[ToolSchema] = (),
    invocation_parameters: Mapping[str, Any] | None = None,
    usage: Usage | None = None,
    finish_reason: str | None = None,
    prompts: Sequence[str] = (),
    choices: Sequence[str] = (),
) -> Attributes:
    """Describe a call of a model.

    ``provider`` and ``system`` may be any framework's, class's or gen_ai name: the well-known value is written.
    The model is ``model``, else what answered, else what was asked for; the latter two are also written on
    their own when they differ.
    """
    answered = model or response_model or request_model
    found: Attributes = {}
    put(found, SpanAttributes.LLM_SYSTEM, system_name(system, model=answered, provider=provider))
    put(found, SpanAttributes.LLM_PROVIDER, provider_name(provider))
    put(found, SpanAttributes.LLM_MODEL_NAME, answered)
    if request_model and response_model and request_model != response_model:
        found[SpanAttributes.LLM_REQUEST_MODEL_NAME] = clean(request_model)
        found[SpanAttributes.LLM_RESPONSE_MODEL_NAME] = clean(response_model)
    if invocation_parameters:
        found[SpanAttributes.LLM_INVOCATION_PARAMETERS] = json_object(invocation_parameters)
    found |= message_attributes(SpanAttributes.LLM_INPUT_MESSAGES, input_messages)
    found |= message_attributes(SpanAttributes.LLM_OUTPUT_MESSAGES, output_messages)
    found |= tool_schema_attributes(tools)
    put_texts(found, SpanAttributes.LLM_PROMPTS, PromptAttributes.PROMPT_TEXT, prompts)
    put_texts(found, SpanAttributes.LLM_CHOICES, ChoiceAttributes.COMPLETION_TEXT, choices)
    put(found, SpanAttributes.LLM_FINISH_REASON, finish_reason)
    if usage is not None:
        found |= usage_attributes(usage)
    return found


def usage_attributes(usage: Usage) -> Attributes:
    """Describe the tokens of a call; the total is the sum of prompt and completion when both are known."""
    prompt, completion, total = as_count(usage.prompt), as_count(usage.completion), as_count(usage.total)
    if prompt is not None and completion is not None:
        total = prompt + completion
    found: Attributes = {}
    put(found, SpanAttributes.LLM_TOKEN_COUNT_PROMPT, prompt)
    put(found, SpanAttributes.LLM_TOKEN_COUNT_COMPLETION, completion)
    put(found, SpanAttributes.LLM_TOKEN_COUNT_TOTAL, total)
    for name, key in _USAGE:
        # Providers report 0 for what a model does not do at all; a zero says nothing.
        value = getattr(usage, name)
        if value and (count := as_count(value)):
            found[key] = count
    return found


def tool_schema_attributes(tools: Iterable[ToolSchema]) -> Attributes:
    """Describe the tools offered to a model, their schemas in OpenAI's style."""
    found: Attributes = {}
    for position, tool in enumerate(tools):
        key = f"{SpanAttributes.LLM_TOOLS}.{position}."
        function: dict[str, Any] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        function["parameters"] = tool.json_schema or {}
        found[key + ToolAttributes.TOOL_JSON_SCHEMA] = dumps({"type": "function", "function": function})
        put(found, key + ToolAttributes.TOOL_NAME, tool.name)
        put(found, key + ToolAttributes.TOOL_DESCRIPTION, tool.description)
    return found


def tool_attributes(
    name: str,
    *,
    description: str | None = None,
    arguments: object = None,
    id: str | None = None,
    json_schema: Mapping[str, Any] | None = None,
) -> Attributes:
    """Describe a tool's run; ``arguments`` become ``tool.parameters``, always a JSON object.

    ``id`` is the id of the tool call, which joins the run to the model's message.
    """
    found: Attributes = {SpanAttributes.TOOL_NAME: as_text(name)}
    put(found, SpanAttributes.TOOL_DESCRIPTION, description)
    put(found, SpanAttributes.TOOL_ID, id)
    if arguments is not None:
        found[SpanAttributes.TOOL_PARAMETERS] = json_object(arguments)
    if json_schema:
        found[ToolAttributes.TOOL_JSON_SCHEMA] = dumps(json_schema)
    return found


def retriever_attributes(documents: Iterable[Document]) -> Attributes:
    """Describe what a retriever found, best first."""
    found: Attributes = {}
    put_documents(found, SpanAttributes.RETRIEVAL_DOCUMENTS, documents)
    return found


def reranker_attributes(
    *,
    query: str | None = None,
    model: str | None = None,
    top_k: int | None = None,
    input_documents: Iterable[Document] = (),
    output_documents: Iterable[Document] = (),
) -> Attributes:
    """Describe a reranker's run."""
    found: Attributes = {}
    put(found, RerankerAttributes.RERANKER_QUERY, query)
    put(found, RerankerAttributes.RERANKER_MODEL_NAME, model)
    put(found, RerankerAttributes.RERANKER_TOP_K, as_count(top_k))
    put_documents(found, RerankerAttributes.RERANKER_INPUT_DOCUMENTS, input_documents)
    put_documents(found, RerankerAttributes.RERANKER_OUTPUT_DOCUMENTS, output_documents)
    return found


def embedding_attributes(
    *,
    model: str | None = None,
    texts: Sequence[str] = (),
    vectors: Sequence[Sequence[float]] = (),
    invocation_parameters: Mapping[str, Any] | None = None,
    usage: Usage | None = None,
) -> Attributes:
    """Describe an embedding call; its span must be named ``CreateEmbeddings`` (``spec/embedding_spans.md``)."""
    found: Attributes = {}
    put(found, SpanAttributes.EMBEDDING_MODEL_NAME, model)
    if invocation_parameters:
        found[SpanAttributes.EMBEDDING_INVOCATION_PARAMETERS] = json_object(invocation_parameters)
    put_texts(found, SpanAttributes.EMBEDDING_EMBEDDINGS, EmbeddingAttributes.EMBEDDING_TEXT, texts)
    for position, vector in enumerate(vectors):
        key = f"{SpanAttributes.EMBEDDING_EMBEDDINGS}.{position}.{EmbeddingAttributes.EMBEDDING_VECTOR}"
        found[key] = [float(number) for number in vector]
    if usage is not None:
        found |= usage_attributes(usage)
    return found


def agent_attributes(name: str | None) -> Attributes:
    """Describe an agent's run."""
    found: Attributes = {}
    put(found, SpanAttributes.AGENT_NAME, name)
    return found


def graph_node_attributes(id: str, *, name: str | None = None, parent_id: str | None = None) -> Attributes:
    """Place a span in the graph of its agent; without ``parent_id`` it is the graph's root."""
    found: Attributes = {SpanAttributes.GRAPH_NODE_ID: as_text(id)}
    put(found, SpanAttributes.GRAPH_NODE_NAME, name)
    put(found, SpanAttributes.GRAPH_NODE_PARENT_ID, parent_id)
    return found


def prompt_template_attributes(
    template: str, *, variables: Mapping[str, Any] | None = None, version: str | None = None
) -> Attributes:
    """Describe the template that a prompt was made from."""
    found: Attributes = {SpanAttributes.LLM_PROMPT_TEMPLATE: as_text(template)}
    if variables is not None:
        found[SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES] = json_object(variables)
    put(found, SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION, version)
    return found

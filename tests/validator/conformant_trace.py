"""A trace with a span of every kind that violates no rule, to be broken one rule at a time."""

from __future__ import annotations

import copy


SESSION = {
    "session.id": "s-1",
    "gen_ai.conversation.id": "s-1",
    "lucidic.session_id": "s-1",
    "user.id": "u-1",
}

MESSAGES = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.contents.0.message_content.type": "text",
    "llm.input_messages.0.message.contents.0.message_content.text": "What is this?",
    "llm.input_messages.0.message.contents.1.message_content.type": "image",
    "llm.input_messages.0.message.contents.1.message_content.image.image.url": "data:image/png;base64,AAAA",
    "llm.input_messages.1.message.role": "assistant",
    "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c1",
    "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "look",
    "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": "{}",
    "llm.input_messages.2.message.role": "tool",
    "llm.input_messages.2.message.content": "a cat",
    "llm.input_messages.2.message.tool_call_id": "c1",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "A cat.",
}

ATTRIBUTES = {
    "agent": {
        "openinference.span.kind": "AGENT",
        "agent.name": "guide",
        "graph.node.id": "guide",
        "input.value": "What is this?",
        "input.mime_type": "text/plain",
        "output.value": "A cat.",
        "metadata": '{"tier": "gold"}',
        "tag.tags": ["a", "b"],
    },
    "llm": {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.provider": "azure",
        "llm.model_name": "gpt-4o",
        "llm.invocation_parameters": '{"temperature": 0}',
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "llm.token_count.total": 15,
        "llm.token_count.prompt_details.cache_read": 4,
        "llm.token_count.prompt_details.cache_write": 6,
        "llm.token_count.completion_details.reasoning": 5,
        "llm.cost.total": 0.25,
        "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "look"}}',
        "input.value": '{"messages": []}',
        "input.mime_type": "application/json",
        "output.value": "A cat.",
        **MESSAGES,
    },
    "tool": {
        "openinference.span.kind": "TOOL",
        "tool.name": "look",
        "tool.id": "c1",
        "tool.parameters": '{"where": "here"}',
        "output.value": "a cat",
        "graph.node.id": "look",
        "graph.node.parent_id": "guide",
    },
    "failure": {
        "openinference.span.kind": "TOOL",
        "tool.name": "look",
        "tool.id": "c2",
        "input.value": "here",
    },
    "retriever": {
        "openinference.span.kind": "RETRIEVER",
        "input.value": "cats",
        "retrieval.documents.0.document.id": 7,
        "retrieval.documents.0.document.content": "Cats purr.",
        "retrieval.documents.0.document.score": 0.5,
        "retrieval.documents.0.document.metadata": '{"page": 1}',
    },
    "reranker": {
        "openinference.span.kind": "RERANKER",
        "reranker.query": "cats",
        "reranker.input_documents.0.document.content": "Cats purr.",
    },
    "embedding": {
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "e-1",
        "embedding.embeddings.0.embedding.text": "cats",
        "embedding.embeddings.0.embedding.vector": [0.0, 1.0],
        "llm.token_count.prompt": 1,
    },
    "evaluator": {
        "openinference.span.kind": "EVALUATOR",
        "session.evaluations.0.evaluation.name": "success",
        "session.evaluations.0.evaluation.score": 1,
    },
    "chain": {"openinference.span.kind": "CHAIN", "input.value": "plain", "output.value": "plain"},
}


def conformant() -> dict[str, dict]:
    """Return the spans by a short name, as mappings in the form of ``lucidic show --json``."""
    return {name: _span(number, name) for number, name in enumerate(ATTRIBUTES, start=1)}


def _span(number, name):
    failed = name == "failure"
    return {
        "trace_id": f"{1:032x}",
        "span_id": f"{number:016x}",
        "parent_span_id": None if number == 1 else f"{1:016x}",
        "name": "CreateEmbeddings" if name == "embedding" else name,
        "otel_kind": "INTERNAL",
        "status": "ERROR" if failed else "OK",
        "status_message": "",
        "start_ns": 1_000 + number,
        "end_ns": 2_000 - number,
        "attributes": {**copy.deepcopy(ATTRIBUTES[name]), **SESSION},
        "events": [_exception()] if failed else [],
        "scope": {"name": "lucidic", "version": "1"},
    }


def _exception():
    return {
        "name": "exception",
        "attributes": {"exception.type": "ValueError", "exception.message": "blind"},
    }

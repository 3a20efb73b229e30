"""What OpenInference's processor says of a call in the OpenAI Agents SDK, ours says as well."""

from __future__ import annotations

import re

import pytest


DIFFERENT = {
    "input.value": "the words of the last message, not the whole request",
    "input.mime_type": "which are text",
    "output.value": "the answer's words, not the whole response",
    "output.mime_type": "which are text",
    "llm.finish_reason": "tool_calls where tools were called; theirs says stop",
    "llm.invocation_parameters": "what was asked for, without the server's address and the response's own fields",
    "llm.tools.N.tool.json_schema": "without the API's strict flag",
    "tool.parameters": "the arguments of the call; theirs are the schema, which we have in tool.json_schema",
}
"""Keys whose values differ on purpose, and what ours are."""
ZERO_IS_LEFT_OUT = re.compile(r"llm\.token_count\..*_details\..*")
PART_OF_AN_ANSWER = re.compile(
    r"(llm\.output_messages\.\d+\.message\.content)s\.0\.message_content\.(text|type)"
)


def is_said(key, value, ours):
    """Tell whether our span says what theirs does."""
    if key in ours:
        return value == ours[key] or re.sub(r"\d+", "N", key) in DIFFERENT
    if ZERO_IS_LEFT_OUT.fullmatch(key):
        return 0 == value
    if part := PART_OF_AN_ANSWER.fullmatch(key):
        return value in ("text", ours[part[1]])
    return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_calls_of_models_and_tools_say_what_openinferences_say(run_among_others):
    """Both APIs, streamed or not: tools, failing tools, images, refusals and errors, attribute by attribute."""
    calls = run_among_others("agents_contents.py")

    assert 20 == len(calls)
    missing = [
        f"{title}: {key}: {value!r}, ours {ours.get(key)!r}"
        for title, pairs in calls.items()
        for theirs, ours in pairs
        for key, value in theirs.items()
        if not is_said(key, value, ours)
    ]
    assert [] == missing

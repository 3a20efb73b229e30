"""Tools that the API knows and the program runs: a computer, a shell, an editor."""

from __future__ import annotations

import json

import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    AsyncComputer,
    ComputerTool,
    OpenAIResponsesModel,
    Runner,
    ShellTool,
    function_tool,
)
from openai import AsyncOpenAI

from lucidic.testing import assert_openinference


try:
    import httpx2 as httpx
except ImportError:  # openai before 3
    import httpx

CLICK = {"type": "click", "x": 1, "y": 2, "button": "left"}
SCREEN = "data:image/png;base64,aGVsbG8="


class Screen(AsyncComputer):
    """A computer that takes everything and shows one picture."""

    environment = "browser"
    dimensions = (800, 600)

    async def _take(self, *given):
        pass

    async def screenshot(self):
        return SCREEN.rpartition(",")[2]

    click = double_click = scroll = type = wait = move = keypress = drag = _take


class Editor:
    """An editor that says that it did what it was asked."""

    def create_file(self, operation):
        return f"made {operation.path}"

    update_file = delete_file = create_file


async def shell(request):
    return "hello"


NATIVE = {
    "computer": (
        {"type": "computer_call", "pending_safety_checks": [], "action": CLICK},
        ComputerTool(computer=Screen()),
        (CLICK, SCREEN),
    ),
    "shell": (
        {"type": "shell_call", "action": {"commands": ["echo hello"]}},
        ShellTool(executor=shell),
        ({"commands": ["echo hello"]}, "hello"),
    ),
    "apply_patch": (
        {"type": "apply_patch_call", "operation": {"type": "create_file", "path": "a.txt", "diff": "+hi"}},
        ApplyPatchTool(editor=Editor()),
        ([{"type": "create_file", "path": "a.txt", "diff": "+hi"}], "made a.txt"),
    ),
}


def model_that_asks(call):
    """Return a model of the real client that asks for ``call`` first, and is done when it has the result."""
    text = {"type": "output_text", "text": "Done.", "annotations": []}
    done = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    asked = {"id": "i1", "call_id": "c1", "status": "completed", **call}

    def answer(request):
        body = json.loads(request.content)
        is_done = any(str(item.get("type")).endswith("_output") for item in body["input"])
        response = {
            "id": "r1", "object": "response", "created_at": 0, "model": body["model"], "status": "completed",
            "output": [done if is_done else asked], "tools": body.get("tools", []), "tool_choice": "auto",
            "parallel_tool_calls": True,
            "usage": {
                "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }  # fmt: skip
        return httpx.Response(200, json=response)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return OpenAIResponsesModel("gpt-5", openai_client=AsyncOpenAI(api_key="none", http_client=http))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", NATIVE)
async def test_a_tool_that_the_api_knows_reads_as_any_other(traced, name, inside):
    """Its span has the call's id, arguments and result, also where its agent runs inside a function's tool."""
    call, tool, (arguments, result) = NATIVE[name]
    agent = Agent("Operator", model=model_that_asks(call), tools=[tool])
    if inside:

        @function_tool
        async def work(task: str) -> str:
            """Work."""
            return (await Runner.run(agent, task)).final_output

        asks = {"type": "function_call", "name": "work", "arguments": '{"task": "Do it."}'}
        await Runner.run(Agent("Boss", model=model_that_asks(asks), tools=[work]), "Do it.")
    else:
        await Runner.run(agent, "Do it.")

    run = traced.named(name).attributes
    assert ("c1", "TOOL") == (run["tool.id"], run["openinference.span.kind"])
    assert "tool.description" not in run
    given = json.loads(run["input.value"])
    assert arguments == given if isinstance(given, list) else arguments.items() <= given.items()
    assert result == run["output.value"]
    asked = next(
        span for span in traced.spans if span.name == "response" and "tool_calls" in str(span.attributes)
    )
    assert "tool_calls" == asked.attributes["llm.finish_reason"]
    assert_openinference(traced.spans, level="warning", sessions=False)


async def test_a_screenshot_is_an_image(traced):
    """What the computer shows is an image in the next call, not a text with a picture's data in it."""
    call, tool, _ = NATIVE["computer"]
    await Runner.run(Agent("Operator", model=model_that_asks(call), tools=[tool]), "Do it.")

    (*_, last) = [span for span in traced.spans if span.name == "response"]
    place = "llm.input_messages.2.message"
    assert "tool" == last.attributes[f"{place}.role"]
    assert SCREEN == last.attributes[f"{place}.contents.0.message_content.image.image.url"]
    assert "Do it." == last.attributes["input.value"]

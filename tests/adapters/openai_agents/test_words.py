"""What agents, runs and workflows heard and answered, where no model says it in words."""

from __future__ import annotations

import json

import pytest
from agents import RunConfig, Runner, function_tool
from pydantic import BaseModel

from lucidic.testing import Reply, ToolCall


PICTURE = "data:image/png;base64,AAAA"
TURN = ("Guide", "run Agent workflow", "Agent workflow")


@pytest.fixture(params=[False, True], ids=["run", "streamed"])
def run(request):
    """Run an agent to its end, streamed or not."""

    async def run(agent, given, **options):
        if not request.param:
            await Runner.run(agent, given, **options)
            return
        async for _ in Runner.run_streamed(agent, given, **options).stream_events():
            pass

    return run


async def test_a_tools_result_can_be_the_answer(either, scripted, run):
    """Where the first tool's result ends the run, agent, run and workflow answer with it."""

    @function_tool
    def price() -> str:
        """Tell the price."""
        return "12 euros"

    made = scripted([Reply(text="Let me look.", tool_calls=(ToolCall("price"),))])
    await run(made.agent(tools=[price], tool_use_behavior="stop_on_first_tool"), "How much?")
    assert ["12 euros"] * 3 == [either.named(name).attributes["output.value"] for name in TURN]


async def test_an_output_of_a_type_is_the_answer(either, scripted, run):
    """What is told is the output that the program gets, not the text around it that the model wrote."""

    class City(BaseModel):
        name: str

    agent = scripted(['{"response": [{"name": "Rome"}]}']).agent(output_type=list[City])
    await run(agent, "Which cities?")
    for name in TURN:
        assert [{"name": "Rome"}] == json.loads(either.named(name).attributes["output.value"])


async def test_a_picture_without_words_is_a_question(either, scripted, run):
    """A turn in which the user says nothing and shows something has an input."""
    part = {"type": "input_image", "image_url": PICTURE, "detail": "auto"}
    await run(scripted(["A cat."]).agent(), [{"role": "user", "content": [part]}])
    assert ["[image]"] * 3 == [either.named(name).attributes["input.value"] for name in TURN]
    call = either.named("response").attributes
    image = "llm.input_messages.0.message.contents.0.message_content.image.image.url"
    assert PICTURE == call[image]


async def test_a_history_that_was_nested_is_the_next_agents_input(either, scripted, run):
    """Where a handoff leaves nothing of the user's own message, the agent that takes over heard the summary."""
    made = scripted([Reply(tool_calls=(ToolCall("transfer_to_spec"),)), "Done."])
    triage = made.agent("Triage", handoffs=[made.agent("Spec")])
    await run(triage, "Help me", run_config=RunConfig(nest_handoff_history=True))
    assert "Help me" in either.named("Spec").attributes["input.value"]
    assert "Help me" == either.named("Agent workflow").attributes["input.value"]

"""The conversation of ``lucidic demo``: a customer, an order, and an agent that remembers it.

It is the same whether a real model answers or the scripted server; then ``script`` plays the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import openai
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from lucidic.testing import Reply, ScriptedRequest, ToolCall, Usage


QUESTIONS: Final = (
    "Hello, where is my order 4711?",
    "Friday does not suit me. What would Saturday or Monday cost?",
    "Then take the free day, please. And what did I order again?",
)
"""The customer's words; the second and the third make sense only to who remembers the first."""

_PROMPT: Final = (
    "You look after the orders of a lamp shop. Look up or change what the customer asks about with your tools, "
    "then answer in one or two sentences."
)
_PRICES: Final = {"Saturday": "4.90 EUR", "Monday": "free"}


@tool
def find_order(order_id: str) -> str:
    """Find an order: what it is, what it costs, and when it arrives."""
    return f"Order {order_id}: 2 reading lamps, 79.80 EUR, on its way, arrives on Friday."


@tool
def delivery_price(order_id: str, day: str) -> str:
    """Say what it costs to have an order delivered on another day of the week."""
    return f"Order {order_id} on {day}: {_PRICES.get(day, 'not possible')}."


@tool
def move_delivery(order_id: str, day: str) -> str:
    """Have an order delivered on another day of the week."""
    return f"Order {order_id} now arrives on {day}."


def converse(
    *,
    thread_id: str,
    model: str,
    api_key: str,
    base_url: str | None = None,
    responses: bool = True,
    callbacks: Sequence[BaseCallbackHandler] = (),
) -> Iterator[tuple[str, str]]:
    """Hold the conversation, and yield each question with its answer.

    The first turn uses chat completions, the second the responses API, the third a stream of chat completions.

    Args:
        thread_id: the id under which the agent remembers.
        model: the model to ask for.
        api_key: the provider's key, whatever the scripted server takes it for.
        base_url: where the provider is. Default: OpenAI.
        responses: whether the provider has the responses API.
        callbacks: what follows the runs.
    """
    memory = InMemorySaver()
    config: RunnableConfig = {"configurable": {"thread_id": thread_id}, "callbacks": list(callbacks)}
    # A proxy of the environment must not stand between the demo and its own server.
    with openai.DefaultHttpxClient(trust_env=not _is_local(base_url)) as client:
        for turn, question in enumerate(QUESTIONS, start=1):
            chat = ChatOpenAI(
                model=model,
                api_key=SecretStr(api_key),
                base_url=base_url,
                http_client=client,
                use_responses_api=responses and turn == 2,
                stream_usage=True,
            )
            tools = [find_order, delivery_price, move_delivery]
            agent = create_agent(
                chat, tools, system_prompt=_PROMPT, checkpointer=memory, name="order_assistant"
            )
            if turn == len(QUESTIONS):
                yield question, _streamed(agent, question, config)
            else:
                yield question, agent.invoke(_asked(question), config)["messages"][-1].text


def _streamed(agent: Any, question: str, config: RunnableConfig) -> str:
    """Read the answer as it is written, without the words that come with tool calls."""
    answer = ""
    for message, _ in agent.stream(_asked(question), config, stream_mode="messages"):
        if message.type == "AIMessageChunk":
            answer += message.text
    return answer


def _asked(question: str) -> Any:
    return {"messages": [{"role": "user", "content": question}]}


def _is_local(base_url: str | None) -> bool:
    return base_url is not None and base_url.startswith("http://127.0.0.1:")


def script(request: ScriptedRequest) -> Reply:
    """Play the model: in each turn call the tools first, then answer."""
    calls, answer = _SCRIPT[len(request.user_texts) - 1]
    return answer if request.tool_results else calls


_SCRIPT: Final = (
    (
        Reply(
            tool_calls=(ToolCall("find_order", {"order_id": "4711"}),), usage=Usage(prompt=214, completion=17)
        ),
        Reply(
            text="Your order 4711, two reading lamps for 79.80 EUR, is on its way and arrives on Friday.",
            usage=Usage(prompt=262, completion=26),
        ),
    ),
    (
        Reply(
            reasoning="Two days are asked for, so look up both prices at once.",
            tool_calls=(
                ToolCall("delivery_price", {"order_id": "4711", "day": "Saturday"}),
                ToolCall("delivery_price", {"order_id": "4711", "day": "Monday"}),
            ),
            usage=Usage(prompt=308, completion=121, cached=256, reasoning=64),
        ),
        Reply(
            reasoning="Saturday costs extra and Monday does not.",
            text="Saturday costs 4.90 EUR, Monday is free.",
            usage=Usage(prompt=391, completion=47, cached=256, reasoning=32),
        ),
    ),
    (
        Reply(
            tool_calls=(ToolCall("move_delivery", {"order_id": "4711", "day": "Monday"}),),
            usage=Usage(prompt=402, completion=22, cached=384),
        ),
        Reply(
            text="Done: your two reading lamps arrive on Monday, at no extra cost.",
            usage=Usage(prompt=447, completion=18, cached=384),
        ),
    ),
)
"""For each turn what the model says before its tools have answered, and after."""

"""A session with a model call, nested functions, an error, a note and a large note, told to the vendor's 3.x client.

Run by the client's own Python; the argument is the address of a scripted OpenAI server.
"""

from __future__ import annotations

import contextlib
import sys

import openai
from lucidicai import LucidicAI
from lucidicai.sdk import event


client = LucidicAI(api_key="key-1", agent_id="agent-1", providers=["openai"])

with client.sessions.create(session_name="Order", session_id="story-1", task="buy a lamp", tags=["shop"]):
    openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0).chat.completions.create(
        model="gpt-x",
        temperature=0.5,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is it in stock?"},
        ],
    )

    @client.event
    def lookup(item):
        return {"stock": 3}

    @client.event
    def order(item):
        lookup(item)
        raise ValueError("no stock")

    with contextlib.suppress(ValueError):
        order("lamp")

    client.events.create(type="generic", details="note")
    event.create_event(type="generic", details="large " + "x" * 100_000)

client.sessions.end("story-1", is_successful=True, is_successful_reason="sold", session_eval=0.9)
client.close()

"""Payloads of every kind are shown, or cost a marker; never a span, never the call."""

from __future__ import annotations

import pytest
from langchain_core.runnables import RunnableLambda


def test_input_that_cannot_be_shown(lc, config, tree):
    """Input that raises in ``__repr__``, is cyclic or is huge costs a marker, not a span."""

    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    cyclic = {}
    cyclic["self"] = [cyclic] * 20
    for value in ({"a": Rude()}, cyclic, {"a": list(range(500_000))}, {object(): b"\xff"}, "\ud800"):
        RunnableLambda(lambda _: None, name="f").invoke(value, config)
    assert len(tree.spans) == 5
    assert all(span.attributes["input.value"] for span in tree.spans)
    assert all(len(span.attributes["input.value"]) <= 1_000_000 for span in tree.spans)


class _Touchy:
    """Like an array or a table: whether it is true, or equal to something, cannot be asked."""

    def __bool__(self):
        raise ValueError("ambiguous")

    def __eq__(self, other):
        return _Touchy()

    __hash__ = None

    def __len__(self):
        raise ValueError("ambiguous")


class _Closed(_Touchy):
    """An object that raises for every attribute that it has not."""

    def __getattr__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize("kind", [_Touchy, _Closed])
def test_values_that_cannot_be_asked(config, tree, kind):
    """Values that raise when they are compared, measured or looked into are shown, as input and output."""
    value = kind()
    for given in (
        value,
        {"input": value},
        {"messages": value},
        {"messages": [value]},
        [value],
        {"output": value},
    ):
        RunnableLambda(lambda asked: asked, name="f").invoke(given, config)
    assert len(tree.spans) == 6
    for span in tree.spans:
        assert kind.__name__ in span.attributes["input.value"]
        assert span.attributes["output.value"] == span.attributes["input.value"]


def test_an_error_of_a_provider(lc, config, tree):
    """A model call that fails has no output: the empty answer that LangChain makes of the error is none."""
    openai = pytest.importorskip("openai")
    httpx = pytest.importorskip("httpx")
    answer = httpx.Response(429, request=httpx.Request("POST", "http://localhost"))

    class Refused(lc.Chat):
        def _generate(self, *args, **kwargs):
            raise openai.RateLimitError("slow down", response=answer, body={"message": "slow down"})

    with pytest.raises(openai.RateLimitError):
        lc.chat(cls=Refused).invoke("x", config)
    assert tree.one("LLM").status.description == "RateLimitError: slow down"
    assert "output.value" not in tree.one("LLM").attributes

"""Token counts: in LangChain's words, in each provider's own, from the cache."""

from __future__ import annotations

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage

from lucidic.adapterkit import usage_attributes
from lucidic_adapters.langchain._models import usage_of


USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "input_token_details": {"cache_read": 40, "cache_creation": 10, "audio": 5},
    "output_token_details": {"reasoning": 8, "audio": 2},
}


def test_usage(lc, config, tree):
    """Tokens with cache, reasoning and audio details are told."""
    answer = AIMessage("a b", usage_metadata=USAGE, response_metadata={"finish_reason": "stop"})
    lc.chat(answer).invoke("x", config)
    found = tree.one("LLM").attributes
    assert found["llm.token_count.prompt"] == 100
    assert found["llm.token_count.completion"] == 20
    assert found["llm.token_count.total"] == 120
    assert found["llm.token_count.prompt_details.cache_read"] == 40
    assert found["llm.token_count.prompt_details.cache_write"] == 10
    assert found["llm.token_count.prompt_details.audio"] == 5
    assert found["llm.token_count.completion_details.reasoning"] == 8
    assert found["llm.token_count.completion_details.audio"] == 2
    assert found["llm.finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}, (10, 3, None, None)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            (10, 3, 4, 2),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 1,
            },
            (13, 3, 7, None),
        ),
        ({"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 2}, (7, 3, 2, None)),
        (
            {
                "prompt_token_count": 5,
                "candidates_token_count": 3,
                "thoughts_token_count": 9,
                "cached_content_token_count": 2,
                "prompt_tokens_details": [{"modality": "TEXT", "token_count": 5}],
            },
            (5, 12, 2, 9),
        ),
    ],
    ids=["openai", "openai with details", "anthropic", "bedrock", "google"],
)
def test_usage_of_providers(raw, expected):
    """Usage in a provider's own words is understood: cached tokens and thoughts are part of the counts."""
    usage, cached = usage_of([], {"token_usage": raw}, [])
    assert (usage.prompt, usage.completion, usage.cache_read, usage.reasoning) == expected
    assert not cached


def _standard(prompt, completion, total, **details):
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": total,
        "input_token_details": details,
    }


@pytest.mark.parametrize(
    ("found", "prompt", "total"),
    [
        (_standard(10, 20, 30), 10, 30),
        (_standard(10, 20, 30, cache_read=4, cache_creation=2), 10, 30),
        (_standard(10, 20, 35, cache_read=2, cache_creation=3), 15, 35),
        (_standard(5, 10, 15, cache_read=10, cache_creation=20), 35, 45),
        (_standard(10, 20, 30, cache_read=0, cache_creation=0), 10, 30),
        (_standard(0, 0, 0), 0, 0),
    ],
    ids=["plain", "cached within", "total says apart", "more cached than asked", "nothing cached", "nothing"],
)
def test_cached_tokens_counted_apart(found, prompt, total):
    """Prompt tokens are all tokens of the prompt, also where a package counts the cached ones apart."""
    usage, _ = usage_of([AIMessage("a", usage_metadata=found)], {}, [])
    told = usage_attributes(usage)
    assert (told["llm.token_count.prompt"], told["llm.token_count.total"]) == (prompt, total)


def test_service_tier_prefixes():
    """A service tier's prefix does not hide reasoning and cached tokens."""
    found = {
        "input_tokens": 5,
        "output_tokens": 9,
        "total_tokens": 14,
        "input_token_details": {"flex": 2, "flex_cache_read": 3},
    }
    found["output_token_details"] = {"flex": 1, "flex_reasoning": 8}
    usage, _ = usage_of([AIMessage("a", usage_metadata=found)], {}, [])
    assert (usage.reasoning, usage.cache_read) == (8, 3)


@pytest.mark.parametrize("usage", [USAGE, None])
async def test_cache_hit(lc, config, tree, usage):
    """An answer from LangChain's cache is marked, and its tokens are not counted again."""
    model = lc.chat(AIMessage("a", usage_metadata=usage), cache=InMemoryCache())
    model.invoke("x", config)
    model.invoke("x", config)
    await model.ainvoke("x", config)
    first, *others = sorted(tree.of_kind("LLM"), key=lambda span: span.start_time)
    assert first.attributes.get("llm.token_count.total") == (usage and 120)
    assert "llm.cache_hit" not in first.attributes
    for span in others:
        assert span.attributes["llm.cache_hit"] is True
        assert "llm.token_count.total" not in span.attributes
        assert span.attributes["output.value"] == "a"

"""Well-known names: who made the model (``llm.system``) and who serves it (``llm.provider``)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from openinference.semconv.trace import OpenInferenceLLMProviderValues, OpenInferenceLLMSystemValues


# The specification names four systems for which the package has no constant yet.
SYSTEMS: Final = frozenset(v.value for v in OpenInferenceLLMSystemValues) | {
    "xai",
    "deepseek",
    "amazon",
    "meta",
    "ai21",
}
PROVIDERS: Final = frozenset(v.value for v in OpenInferenceLLMProviderValues)

# First match wins; looked for anywhere in a name without its punctuation ("AzureChatOpenAI", "aws.bedrock").
_PROVIDER_PARTS: Final = (
    ("azure", "azure"),
    ("bedrock", "aws"),
    ("sagemaker", "aws"),
    ("amazon", "aws"),
    ("vertex", "google"),
    ("gemini", "google"),
    ("google", "google"),
    ("gcp", "google"),
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("mistral", "mistralai"),
    ("cohere", "cohere"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("fireworks", "fireworks"),
    ("moonshot", "moonshot"),
    ("cerebras", "cerebras"),
    ("perplexity", "perplexity"),
    ("together", "together"),
    ("ollama", "ollama"),
    ("minimax", "minimax"),
)
_PROVIDER_NAMES: Final = {
    "xai": "xai",
    "chatxai": "xai",
    "grok": "xai",
    "aws": "aws",
    "chatzai": "zai",
    "oci": "oracle",
}

_HOSTS: Final = (
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("models.ai.azure.com", "azure"),
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("googleapis.com", "google"),
    ("amazonaws.com", "aws"),
    ("mistral.ai", "mistralai"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("x.ai", "xai"),
    ("deepseek.com", "deepseek"),
    ("groq.com", "groq"),
    ("fireworks.ai", "fireworks"),
    ("moonshot.ai", "moonshot"),
    ("moonshot.cn", "moonshot"),
    ("cerebras.ai", "cerebras"),
    ("perplexity.ai", "perplexity"),
    ("together.xyz", "together"),
    ("together.ai", "together"),
    ("ollama.com", "ollama"),
    ("minimax.io", "minimax"),
    ("z.ai", "zai"),
    ("oraclecloud.com", "oracle"),
)

# The leftmost match in the model's name wins: "deepseek-r1-distill-llama-70b" is DeepSeek's.
_MODELS: Final = re.compile(
    r"(?:^|[^a-z0-9])(?:"
    r"(?P<openai>gpt|chatgpt|o[1-9](?![a-z0-9])|davinci|babbage|codex|text-embedding-(?:3|ada)|openai)"
    r"|(?P<anthropic>claude|anthropic)"
    r"|(?P<vertexai>gemini|gemma|palm|google)"
    r"|(?P<mistralai>mistral|mixtral|codestral|ministral|pixtral|magistral|devstral)"
    r"|(?P<cohere>command(?![a-z])|cohere)"
    r"|(?P<xai>grok|x-ai)"
    r"|(?P<deepseek>deepseek)"
    r"|(?P<amazon>amazon|nova-|titan-)"
    r"|(?P<meta>llama|codellama|meta-llama|meta(?=\.))"
    r"|(?P<ai21>jamba|ai21)"
    r")"
)
_SYSTEM_OF_PROVIDER: Final = {"azure": "openai", "google": "vertexai", "aws": "amazon"}
_PUNCTUATION: Final = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=512)
def provider_name(name: str | None = None, *, host: str | None = None) -> str | None:
    """Return the well-known ``llm.provider`` for a host, else for a framework's, class's or gen_ai name.

    A name that is not known comes back in lower case; with neither a known host nor a name the answer is
    None. ``host`` may be a URL or carry a port. A host outranks the name: a client class is often pointed at
    somebody else's address.
    """
    return (_provider_of_host(host) if host else None) or (_provider_of_name(name) if name else None)


@lru_cache(maxsize=512)
def system_name(
    name: str | None = None, *, model: str | None = None, provider: str | None = None
) -> str | None:
    """Return the well-known ``llm.system``: the one named, else the model's maker, else the provider's own.

    Names that are not known come back in lower case; with nothing to go by the answer is None.
    """
    if name and name.strip().lower() in SYSTEMS:
        return name.strip().lower()
    if model and (found := _MODELS.search(model.lower())):
        return found.lastgroup
    known = provider_name(name) or provider_name(provider)
    return _SYSTEM_OF_PROVIDER.get(known, known) if known else None


def _provider_of_host(host: str) -> str | None:
    address = host.lower().rpartition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
    # At a label's edge only: smollama.com is not ollama.com.
    matches = (known for suffix, known in _HOSTS if address == suffix or address.endswith("." + suffix))
    return next(matches, None)


def _provider_of_name(name: str) -> str:
    lowered = name.strip().lower()
    if lowered in PROVIDERS:
        return lowered
    squashed = _PUNCTUATION.sub("", lowered)
    if squashed in _PROVIDER_NAMES:
        return _PROVIDER_NAMES[squashed]
    return next((known for part, known in _PROVIDER_PARTS if part in squashed), lowered)

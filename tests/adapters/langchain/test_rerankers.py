"""Rerankers, which LangChain calls without callbacks, have spans of their own."""

from __future__ import annotations

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda

import lucidic as lai
from lucidic.testing import validate_openinference
from lucidic_adapters.langchain import _bridge, _rerankers


class Rank(BaseDocumentCompressor):
    """A reranker that asks a model, and brings an asynchronous method only by inheritance."""

    judge: object
    model_name: str = "rank-1"
    top_n: int = 2

    def compress_documents(self, documents, query, callbacks=None):
        self.judge.invoke("which?", {"callbacks": callbacks})
        found = [Document(id="d2", page_content="better", metadata={"relevance_score": 0.9}), *documents]
        return found[: self.top_n]


class Both(Rank):
    """A reranker with methods of both kinds, which call its class's."""

    def compress_documents(self, documents, query, callbacks=None):
        return super().compress_documents(documents, query, callbacks)

    async def acompress_documents(self, documents, query, callbacks=None):
        return await super().acompress_documents(documents, query, callbacks)


def _retriever(lc, kind=Rank):
    return ContextualCompressionRetriever(
        base_compressor=kind(judge=lc.chat()), base_retriever=lc.Retriever()
    )


@pytest.mark.parametrize("kind", [Rank, Both])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_inside_a_retriever(lc, config, tree, captured, kind, asynchronous):
    """A reranker is one span below its retriever, what it calls is below it, and it has its documents."""
    retriever, config = _retriever(lc, kind), {**config, "configurable": {"thread_id": "t-1"}}
    await retriever.ainvoke("q", config) if asynchronous else retriever.invoke("q", config)
    span = tree.one("RERANKER")
    assert span.name == kind.__name__
    assert tree.names_above(span.name) == ["ContextualCompressionRetriever"]
    if lc.contexts_for_tasks or not asynchronous:
        assert tree.kinds_above("Chat") == ["RERANKER"]
    assert span.status.is_ok
    given = span.attributes
    assert (given["reranker.query"], given["reranker.model_name"], given["reranker.top_k"]) == (
        "q",
        "rank-1",
        2,
    )
    assert given["reranker.input_documents.0.document.content"] == "about q"
    assert given["reranker.output_documents.0.document.id"] == "d2"
    assert given["reranker.output_documents.0.document.score"] == 0.9
    assert given["input.value"] == "q"
    outer = next(span for span in tree.of_kind("RETRIEVER") if span.parent is None)
    assert outer.attributes["retrieval.documents.0.document.score"] == 0.9
    assert given["lucidic.session_id"] == "t-1"
    assert [
        found for found in validate_openinference(captured.spans) if found.span_name == kind.__name__
    ] == []


def test_in_a_node(lc, config, tree):
    """A reranker that a step calls with no callbacks at all is below the step."""
    ranker = Rank(judge=lc.chat())
    RunnableLambda(lambda q: ranker.compress_documents([Document("a")], q), name="step").invoke("q", config)
    assert tree.names_above("Rank") == ["step"]


def test_by_itself(lc, tree):
    """One that is called by itself is traced where everything is, and where not left as it was."""
    ranker = Rank(judge=RunnableLambda(str))
    with lai.instrument("langchain"):
        assert len(ranker.compress_documents([Document("a")], "q")) == 2
    assert len(tree.of_kind("RERANKER")) == 1
    assert len(ranker.compress_documents([Document("a")], "q")) == 2
    assert len(tree.of_kind("RERANKER")) == 1


def test_a_class_made_later(lc, config, tree, handler):
    """A class that is made after the installation is traced too."""

    class Late(BaseDocumentCompressor, extra="forbid"):
        def compress_documents(self, documents, query, callbacks=None):
            lc.user("in-late")
            return documents

    Late().compress_documents([Document("a")], "q", callbacks=[handler])
    assert tree.kinds_above("in-late") == ["RERANKER"]


def test_errors(lc, config, tree):
    """A reranker that fails shows its error, and the caller gets it."""

    class Failing(BaseDocumentCompressor):
        def compress_documents(self, documents, query, callbacks=None):
            raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"):
        ContextualCompressionRetriever(base_compressor=Failing(), base_retriever=lc.Retriever()).invoke(
            "q", config
        )
    assert tree.one("RERANKER").status.description == "ValueError: theirs"


def test_a_defect_of_ours(lc, config, captured, monkeypatch):
    """A defect in the description of a reranker never reaches the caller."""
    monkeypatch.setattr(lai._guard.state, "reraise", False)
    monkeypatch.setattr(_rerankers, "reranker_attributes", None)
    assert [found.page_content for found in _retriever(lc).invoke("q", config)] == ["better", "about q"]
    assert len(captured.started) == len(captured.spans)


def test_undo(handler):
    """The methods of a class are its own again when the bridge is removed, and wrapped once when it is back."""
    own = Rank.compress_documents.__wrapped__
    _bridge.uninstall()
    try:
        assert Rank.compress_documents is own
        assert "__init_subclass__" not in vars(BaseDocumentCompressor)
    finally:
        _bridge.install()
    assert Rank.compress_documents.__wrapped__ is own

"""A server on loopback that answers the real ``openai`` and ``anthropic`` clients from a script."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from lucidic.errors import InvalidOperationError
from lucidic.testing._scripted_http import HTTPServer
from lucidic.testing._scripted_reply import Answer, Reply
from lucidic.testing._scripted_request import ScriptedRequest


if TYPE_CHECKING:
    from typing_extensions import Self


Script: TypeAlias = "Iterable[Reply | str] | Callable[[ScriptedRequest], Reply | str]"
"""The replies in the order of the requests, or a function of the request; a text is ``Reply(text=…)``."""

EMBEDDINGS = "/v1/embeddings"


def echo(request: ScriptedRequest) -> Reply:
    """Answer with what was asked, and with what the tools gave."""
    if request.tool_results:
        return Reply(text=f"The tools say: {'; '.join(request.tool_results)}")
    return Reply(text=f"You said: {request.user_text}")


class ScriptedServer:
    """Serve a script to any number of clients and conversations, each request in a thread of its own.

    It speaks OpenAI's chat completions, responses and embeddings and Anthropic's messages, streamed or
    not, and needs no key::

        with ScriptedServer([Reply(text="Paris.")]) as server:
            client = openai.OpenAI(base_url=server.openai_url, api_key="none")

    Give a function as the script where several conversations run at once: it is called in the thread of
    its request. An embeddings request is answered with vectors made of its text, and takes no reply from a
    list; a function is asked first, and its reply's ``status``, ``error``, ``headers``, ``usage`` and
    ``gate`` count.

    A script that has no reply left, or raises, answers with status 400, which no client repeats.

    Args:
        script: what to answer. Default: an echo of the user's words or of the tools' results.
    """

    def __init__(self, script: Script = echo) -> None:
        self._lock = threading.Lock()
        self._script: Callable[[ScriptedRequest], Reply | str] | None = script if callable(script) else None
        self._replies: Iterator[Reply | str] = iter(()) if callable(script) else iter(tuple(script))
        self._requests: list[ScriptedRequest] = []
        self._seen: Counter[str] = Counter()
        self._http: HTTPServer | None = None

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1.

        Raises:
            InvalidOperationError: if the server runs already.
        """
        if self._http is not None:
            raise InvalidOperationError("This ScriptedServer runs already; stop() it first.")
        self._http = HTTPServer(self._answer)
        self._http.start()
        return self

    def stop(self) -> None:
        """Break off what is being answered, and return when every thread of the server has ended.

        Nothing happens if the server does not run. A script function that blocks is waited for.
        """
        http, self._http = self._http, None
        if http is not None:
            http.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for OpenAI's clients; it ends in ``/v1``."""
        return f"{self.anthropic_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` for Anthropic's clients.

        Raises:
            InvalidOperationError: if the server does not run.
        """
        if self._http is None:
            raise InvalidOperationError(
                "This ScriptedServer does not run; use it as a context manager or start() it."
            )
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def requests(self) -> list[ScriptedRequest]:
        """The requests so far, in the order in which they came; a copy."""
        with self._lock:
            return list(self._requests)

    def _answer(self, request: ScriptedRequest) -> Answer:
        """Decide the answer to a request; called in the request's thread."""
        ident, reply = self._record(request)
        try:
            if self._script is not None:
                reply = self._script(request)
            if reply is None:
                reply = _failure(f"The script ended before request {len(self.requests)} ({request.route}).")
        except Exception as error:  # noqa: BLE001  # a script is foreign code, and its client must get an answer
            reply = _failure(f"The script raised {error!r}.")
        return Answer(
            request=request, reply=Reply(text=reply) if isinstance(reply, str) else reply, ident=ident
        )

    def _record(self, request: ScriptedRequest) -> tuple[str, Reply | str | None]:
        """Keep the request, and take its id and, from a list, its reply in one step."""
        content = json.dumps([request.route, dict(request.body)], sort_keys=True)
        with self._lock:
            self._requests.append(request)
            self._seen[content] += 1
            # The same request has the same ids in every run, and the same request again has others,
            # because frameworks merge messages of the same id.
            ident = hashlib.sha256(f"{content}{self._seen[content]}".encode()).hexdigest()[:24]
            if request.route == EMBEDDINGS:
                return ident, Reply()
            return ident, next(self._replies, None)


def _failure(message: str) -> Reply:
    return Reply(status=400, error={"message": message, "type": "scripted_server_error"})

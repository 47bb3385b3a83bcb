"""The client for asyncio. `sync.py` is generated from this file by scripts/generate.py."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from . import _requests as requests
from ._io_async import Credential, InUse, closing, connect, fetch, now, sleep
from ._protocol import AgentCompleted, Entry
from ._reader import FRAME_BYTES_MAX, BrokenContract, Cursor, LogReader, Retry, Start
from ._requests import UNSET, AnswerStatus, OnBusy, Request, Unset
from .errors import Gap, QuintetError, RunFailedError
from .models import Accepted, CompletedRun, Page


class AsyncQuintet:
    """A client of one user: commands over HTTP, entries over a WebSocket that resumes.

    >>> async with AsyncQuintet("http://127.0.0.1:8080", dev_login("http://127.0.0.1:8080", "ann")) as client:
    ...     print(await client.ask("first", "12*(3+4)"))
    84
    """

    def __init__(
        self,
        url: str,
        credential: Credential,
        *,
        timeout: float = 30.0,
        http: httpx.AsyncClient | None = None,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        """Creates a client. Nothing is sent before the first command.

        `timeout`: seconds for one command with all its attempts, and for one connection to get ready. `http`: a client
        of your own (proxies, certificates), which stays yours to close. `ssl`: the TLS settings of the WebSocket.
        Raises `ValueError` if `url` does not begin with `http://` or `https://`.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the URL of the service begins with http:// or https://, and this is {url!r}")
        self._url = url.rstrip("/")
        self._credential = credential
        self._timeout = timeout
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self._owns_http = http is None
        self._ssl = ssl
        self._token: str | None = None
        self._iterations: WeakSet[AsyncGenerator[Entry, None]] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection, also those of iterations that are not at their end."""
        for iteration in list(self._iterations):
            # One that another task is in ends with that task.
            with suppress(InUse):
                await iteration.aclose()
        if self._owns_http:
            await self._http.aclose()

    # Commands. Each is repeated until the service has answered it, which is safe: they are idempotent.

    async def send(
        self,
        thread_id: str,
        text: str,
        *,
        message_id: str | None = None,
        agent_name: str | None = None,
        on_busy: OnBusy | None = None,
        parent: int | None = None,
    ) -> Accepted:
        """Sends a message. Returns once the message and its run are durable (DEL-5).

        `message_id` is the idempotency key: give your own to make a whole job repeatable. `parent`: the offset of the
        message that this one follows, to edit or branch.

        Raises `QuintetError`.
        """
        request = requests.send(thread_id, text, message_id, agent_name, on_busy, parent)
        return Accepted(**await self._call(request))

    async def cancel(self, run_id: str) -> None:
        """Cancels a run. Returns once its end is durable.

        Raises `QuintetError`: `not_found`, or `run_ended` if it had ended before.
        """
        await self._call(requests.cancel(run_id))

    async def answer(self, run_id: str, call_id: str, results: Any = None) -> None:
        """Answers a call that waits for the client (RUN-11). The first valid answer wins.

        Raises `QuintetError`: `call_closed` if another one was first, or the run has ended.
        """
        await self._complete(run_id, call_id, "ok", results, None)

    async def decline(self, run_id: str, call_id: str, reason: str | None = None) -> None:
        """Says no to a question or an approval (RUN-11).

        Raises `QuintetError`, as `answer`.
        """
        await self._complete(run_id, call_id, "declined", None, reason)

    async def fail(self, run_id: str, call_id: str, error: str) -> None:
        """Completes a call of the client with an error.

        Raises `QuintetError`, as `answer`.
        """
        await self._complete(run_id, call_id, "error", None, error)

    async def update_thread(
        self, thread_id: str, *, title: str | Unset | None = UNSET, archived: bool | Unset = UNSET
    ) -> Any:
        """Sets the title (`None`: none) or the archive flag of a thread; what is not given stays.

        Raises `QuintetError`.
        """
        return await self._call(requests.update_thread(thread_id, title, archived))

    async def erase_thread(self, thread_id: str) -> Any:
        """Erases a thread for good (DEL-8). Returns the receipt.

        Raises `QuintetError`.
        """
        return await self._call(requests.erase_thread(thread_id))

    # Pages.

    async def run_info(self, run_id: str) -> Any:
        """Returns one run. Raises `QuintetError`."""
        return await self._call(requests.page(requests.run_path(run_id)))

    async def agents(self) -> Any:
        """Returns the agents that a message may name. Raises `QuintetError`."""
        return (await self._call(requests.page("/v1/agents")))["agents"]

    async def open_calls(self) -> Any:
        """Returns every call that waits for an answer, over all threads. Raises `QuintetError`."""
        return (await self._call(requests.page("/v1/calls", open=True)))["calls"]

    async def threads(
        self, *, before: int | None = None, limit: int | None = None, archived: bool | None = None
    ) -> Page:
        """Returns a page of threads, the latest activity first. Raises `QuintetError`."""
        body = await self._call(requests.page("/v1/threads", before=before, limit=limit, archived=archived))
        return Page(body["threads"], body["next_before"])

    async def thread_runs(self, thread_id: str, *, before: int | None = None, limit: int | None = None) -> Page:
        """Returns a page of a thread's runs, each folded to one object, the newest page first.

        Raises `QuintetError`.
        """
        body = await self._call(requests.page(requests.thread_path(thread_id, "runs"), before=before, limit=limit))
        return Page(body["runs"], body["next_before"])

    # Entries.

    def entries(
        self,
        *,
        after: int = 0,
        epoch: str | None = None,
        start: Start = "beginning",
        on_gap: Callable[[Gap], None] | None = None,
        on_cursor: Callable[[Cursor], None] | None = None,
    ) -> AsyncGenerator[Entry, None]:
        """Yields the entries of the log after a cursor, then new ones as they happen, each once and in order, for ever.

        Lost connections are replaced, and the iteration goes on after the last entry. The loop is the back-pressure:
        what it has not taken stays with the service. `after` and `epoch` are the cursor, of which `on_cursor` is called
        with each new one, once the loop asks for the entry after it: store it with your effects, and a program that is
        killed goes on where it was. `start="head"` begins at what is new, if there is no cursor.

        Raises `GapError` if entries are missing for good and there is no `on_gap`; `LogReplacedError` if the log is
        another one than the cursor's; `QuintetError` if the service refuses the client for good.
        """
        reader = LogReader(Cursor(after, epoch), start)
        iteration = self._entries(reader, on_gap, on_cursor)
        # An iteration that its loop has left holds a connection until it is closed.
        self._iterations.add(iteration)
        return iteration

    async def _entries(
        self, reader: LogReader, on_gap: Callable[[Gap], None] | None, on_cursor: Callable[[Cursor], None] | None
    ) -> AsyncGenerator[Entry, None]:
        refused = False
        while True:
            try:
                async with closing(self._connection(reader, refused)) as received:
                    async for item in received:
                        if isinstance(item, Gap):
                            if on_gap is None:
                                raise reader.gap_error(item)
                            on_gap(item)
                        else:
                            yield item
                        if on_cursor is not None:
                            on_cursor(reader.cursor)
            except Lost as lost:
                refused = lost.retry.refused
                await sleep(lost.retry.delay)

    async def run(self, thread_id: str, text: str, **options: Any) -> AsyncGenerator[Entry, None]:
        """Sends a message and yields the entries of its run, up to its end. Options as of `send`.

        Calls of the client are `tool_executing` entries with `by` = `client`: answer them with `answer` or `decline`.

        Raises `QuintetError`.
        """
        accepted = await self.send(thread_id, text, **options)
        async with closing(self.entries(after=accepted.message_offset - 1, on_gap=_ignore)) as entries:
            async for entry in entries:
                if entry.get("run_id") != accepted.run_id:
                    continue
                yield entry
                if entry["type"] == "agent_completed":
                    return

    async def ask(self, thread_id: str, text: str, **options: Any) -> str:
        """Sends a message and returns the final response. Options as of `send`.

        Raises `RunFailedError` if the run does not succeed, and `QuintetError`.
        """
        async with closing(self.run(thread_id, text, **options)) as entries:
            async for entry in entries:
                if entry["type"] == "agent_completed":
                    return _response(entry)
        raise QuintetError("protocol", "the entries of a run ended before its agent_completed")

    async def complete(self, thread_id: str, text: str, **options: Any) -> CompletedRun:
        """Sends a message and returns its whole run, folded. Options as of `send`.

        Raises `QuintetError`; a run that fails is a result, not an error.
        """
        fold = CompletedRun()
        async with closing(self.run(thread_id, text, **options)) as entries:
            async for entry in entries:
                fold.apply(entry)
        return fold

    # Input and output.

    async def _complete(self, run_id: str, call_id: str, status: AnswerStatus, results: Any, error: str | None) -> None:
        await self._call(requests.answer(run_id, call_id, status, results, error))

    async def _call(self, request: Request) -> Any:
        deadline, attempts, refused = now() + self._timeout, 0, False
        while True:
            attempts += 1
            error: QuintetError
            try:
                response = await self._http.request(
                    request.method,
                    self._url + request.path,
                    json=request.json,
                    params=request.params,
                    headers={"Authorization": f"Bearer {await self._token_for(refused)}"},
                )
                return requests.result(request, response, attempts)
            except httpx.TransportError as failure:
                error = QuintetError("unreachable", f"{request.method} {request.path}: {failure!r}")
            except QuintetError as refusal:
                first_refusal = refusal.code == "unauthenticated" and not refused and callable(self._credential)
                if first_refusal:
                    refused = True
                    continue
                if not requests.is_temporary(refusal):
                    raise
                error = refusal
            wait = requests.delay(error, attempts, random.random())
            if now() + wait >= deadline:
                raise error
            await sleep(wait)

    async def _token_for(self, refused: bool) -> str:
        if isinstance(self._credential, str):
            return self._credential
        if self._token is None or refused:
            self._token = await fetch(self._credential)
        return self._token

    async def _connection(self, reader: LogReader, refused: bool) -> AsyncGenerator[Entry | Gap, None]:
        """Yields what one connection delivers. Raises `Lost` at its end."""
        try:
            token = await self._token_for(refused)
            async with connect(
                requests.websocket_url(self._url),
                subprotocols=[Subprotocol("quintet.v1")],
                additional_headers={"Authorization": f"Bearer {token}"},
                open_timeout=self._timeout,
                max_size=FRAME_BYTES_MAX,
                # A loop that was left may have unread entries before the close frame.
                close_timeout=1.0,
                ssl=self._ssl,
            ) as socket:
                await socket.send(reader.hello())
                async for text in socket:
                    item = reader.receive(text)
                    if item is not None:
                        yield item
                raise Lost(reader.lost(socket.close_code, socket.close_reason or "", random.random()))
        except InvalidStatus as rejection:
            retry_after = rejection.response.headers.get("Retry-After")
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
            raise Lost(reader.rejected(rejection.response.status_code, seconds, random.random())) from rejection
        except ConnectionClosed as closed:
            received = closed.rcvd
            code, reason = (received.code, received.reason) if received else (None, "")
            raise Lost(reader.lost(code, reason, random.random())) from closed
        except (
            OSError,
            TimeoutError,
            InvalidHandshake,
            WebSocketException,
            BrokenContract,
            httpx.TransportError,
        ) as lost:
            raise Lost(reader.lost(None, repr(lost), random.random())) from lost


class Lost(Exception):
    """A connection ended, and another one may follow."""

    def __init__(self, retry: Retry) -> None:
        super().__init__(retry)
        self.retry = retry


def _ignore(_gap: Gap) -> None:
    """Entries of other runs that were trimmed do not matter to one run."""


def _response(end: AgentCompleted) -> str:
    if end["status"] == "succeeded":
        return end["final_response"] or ""
    error = end["error"]
    code, message = (error["code"], error["message"]) if error else (end["status"], f"the run ended as {end['status']}")
    raise RunFailedError(end["status"], code, message)

"""The HTTP requests and their answers, shared by `Quintet` and `AsyncQuintet`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import httpx

from .errors import QuintetError

OnBusy = Literal["enqueue", "reject", "interrupt", "steer"]
AnswerStatus = Literal["ok", "error", "declined"]


class Unset:
    """The type of `UNSET`: an argument that was not given."""


UNSET = Unset()


@dataclass(frozen=True)
class Request:
    """A request of the API. All are idempotent, so that each may be repeated until it is answered (DEL-6, DEL-7)."""

    method: str
    path: str
    json: dict[str, Any] | None = None
    params: dict[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    """Codes that mean success if an earlier attempt may have arrived."""


def send(
    thread_id: str,
    text: str,
    message_id: str | None,
    agent_name: str | None,
    on_busy: OnBusy | None,
    parent: int | None,
) -> Request:
    """`POST /v1/messages`."""
    body: dict[str, Any] = {"message_id": message_id or str(uuid.uuid4()), "thread_id": thread_id, "text": text}
    optional = {"agent_name": agent_name, "on_busy": on_busy, "parent": parent}
    body |= {name: value for name, value in optional.items() if value is not None}
    return Request("POST", "/v1/messages", json=body)


def cancel(run_id: str) -> Request:
    """`POST /v1/runs/{id}/cancel`."""
    return Request("POST", f"/v1/runs/{_segment(run_id)}/cancel", done=("run_ended",))


def answer(run_id: str, call_id: str, status: AnswerStatus, results: Any, error: str | None) -> Request:
    """`POST /v1/runs/{id}/calls/{call_id}`."""
    body: dict[str, Any] = {"status": status, "results": results}
    if error is not None:
        body["error"] = error
    return Request("POST", f"/v1/runs/{_segment(run_id)}/calls/{_segment(call_id)}", json=body)


def update_thread(thread_id: str, title: str | Unset | None, archived: bool | Unset) -> Request:
    """`PATCH /v1/threads/{id}`."""
    body = {name: value for name, value in {"title": title, "archived": archived}.items() if value is not UNSET}
    return Request("PATCH", f"/v1/threads/{_segment(thread_id)}", json=body)


def erase_thread(thread_id: str) -> Request:
    """`DELETE /v1/threads/{id}`."""
    return Request("DELETE", f"/v1/threads/{_segment(thread_id)}")


def page(path: str, **params: int | bool | None) -> Request:
    """A `GET` with a query."""
    spelled = {name: str(value).lower() for name, value in params.items() if value is not None}
    return Request("GET", path, params=spelled)


def thread_path(thread_id: str, what: str) -> str:
    """The path of something of a thread."""
    return f"/v1/threads/{_segment(thread_id)}/{what}"


def run_path(run_id: str) -> str:
    """The path of a run."""
    return f"/v1/runs/{_segment(run_id)}"


def result(request: Request, response: httpx.Response, attempts: int) -> Any:
    """Returns the decoded body of an answer.

    Raises `QuintetError` if the service refused the request.
    """
    if response.is_success:
        return response.json() if response.content else None
    error = problem(response)
    if attempts > 1 and error.code in request.done:
        return None
    raise error


def problem(response: httpx.Response) -> QuintetError:
    """Returns the error of an answer (RFC 9457)."""
    try:
        body = response.json()
        code, message = str(body["code"]), str(body.get("detail") or body.get("title"))
        retry_after_ms = body.get("retry_after_ms")
    except (ValueError, KeyError, TypeError):
        # Not the service's answer: a proxy in front of it.
        code = "unavailable" if response.status_code >= 500 else "protocol"
        return QuintetError(code, f"{response.request.method} {response.request.url.path}: HTTP {response.status_code}")
    return QuintetError(code, message, retry_after=retry_after_ms / 1000 if retry_after_ms is not None else None)


def is_temporary(error: QuintetError) -> bool:
    """Returns whether the same request may succeed later."""
    return error.code in ("unavailable", "draining", "rate_limited", "internal")


def delay(error: QuintetError | None, attempt: int, dice: float) -> float:
    """Returns the seconds before the next attempt: what the service named, and full jitter above it."""
    named = error.retry_after if error is not None and error.retry_after is not None else 0.0
    return named + dice * min(5.0, 0.2 * 2.0 ** min(attempt, 10))


def _segment(text: str) -> str:
    return quote(text, safe="")


def websocket_url(url: str) -> str:
    """Returns the address of the WebSocket of a service."""
    return httpx.URL(url).join("/v1/ws").copy_with(scheme="wss" if url.startswith("https") else "ws").__str__()


def dev_login(url: str, user_id: str) -> Callable[[], str]:
    """Returns a credential for `quintet dev`, which logs in any user that it is asked for."""

    def login() -> str:
        response = httpx.post(f"{url.rstrip('/')}/dev/login", json={"user_id": user_id})
        if not response.is_success:
            raise problem(response)
        token: str = response.json()["token"]
        return token

    return login

"""Input and output of `AsyncQuintet`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing as closing

from websockets.asyncio.client import connect

sleep = asyncio.sleep
now = time.monotonic
InUse = RuntimeError
"""The error of closing an iteration that is running elsewhere."""
Credential = str | Callable[[], str | Awaitable[str]]
"""A JWT, or a function that returns a fresh one. It is called for each connection, and again after a refusal."""


async def fetch(credential: Callable[[], str | Awaitable[str]]) -> str:
    """Calls a credential function; one that blocks does not block the event loop."""
    if inspect.iscoroutinefunction(credential):
        called: str | Awaitable[str] = credential()
    else:
        called = await asyncio.to_thread(_call, credential)
    return called if isinstance(called, str) else await called


def _call(credential: Callable[[], str | Awaitable[str]]) -> str | Awaitable[str]:
    return credential()


__all__ = ["Credential", "InUse", "closing", "connect", "fetch", "now", "sleep"]

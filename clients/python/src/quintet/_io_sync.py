"""Input and output of `Quintet`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from websockets.sync.client import connect

sleep = time.sleep
now = time.monotonic
InUse = ValueError
"""The error of closing an iteration that is running elsewhere."""
Credential = str | Callable[[], str]
"""A JWT, or a function that returns a fresh one. It is called for each connection, and again after a refusal."""


def fetch(credential: Callable[[], str]) -> str:
    """Calls a credential function."""
    return credential()


__all__ = ["Credential", "InUse", "closing", "connect", "fetch", "now", "sleep"]

"""The errors of the client. `code` is for programs, the message for people."""

from __future__ import annotations

from dataclasses import dataclass


class QuintetError(Exception):
    """A refusal by the service, or a failure of the connection to it.

    `code` is one of the contract's error codes, or `closed` (a final close code), `unreachable` (no answer within the
    time allowed) or `protocol` (the service broke its contract).
    """

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds to wait before a retry; `None` if the service named none."""


@dataclass(frozen=True)
class Gap:
    """Offsets that will never arrive, both included (DEL-3)."""

    first: int
    last: int


class GapError(QuintetError):
    """Entries between the cursor and the next stored entry are missing for good (DEL-3).

    Read on with `entries(after=error.gap.last, epoch=error.epoch)`, or pass `on_gap` to go on by itself.
    """

    def __init__(self, gap: Gap, epoch: str) -> None:
        super().__init__("gap", f"the entries {gap.first} to {gap.last} are missing for good")
        self.gap = gap
        self.epoch = epoch


class LogReplacedError(QuintetError):
    """The log is another one than that of the cursor: a restored backup, or another user.

    Everything read before is void: discard what was derived from it, and read from the beginning.
    """

    def __init__(self, message: str) -> None:
        super().__init__("reset", message)


class RunFailedError(QuintetError):
    """A run ended without success. `code` is the code of the run's error, or its status (`cancelled`, …)."""

    def __init__(self, status: str, code: str, message: str) -> None:
        super().__init__(code, message)
        self.status = status
        """The status of the run."""

"""The reader of a log as a machine without input or output: the cursor, the checks of each frame, and what a lost
connection means. `Quintet` and `AsyncQuintet` share it, so that they cannot differ in what they deliver.

Guarantee: each entry is handed over once, in `offset` order, without a silent hole (DEL-2, DEL-3). A frame that breaks
the order is refused and nothing of it is handed over: the caller replaces the connection.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from ._protocol import Entry, Ready
from .errors import Gap, GapError, LogReplacedError, QuintetError

Start = Literal["beginning", "head"]


@dataclass(frozen=True)
class Cursor:
    """A place in one user's log. Store it together with the effects of the entries up to it."""

    offset: int = 0
    """The offset of the last entry that was applied; 0: none."""
    epoch: str | None = None
    """The epoch of the journal; `None` before the first connection."""


class BrokenContract(Exception):
    """The connection cannot be trusted and has to be replaced."""


@dataclass(frozen=True)
class Retry:
    """Connect again after `delay` seconds; with a new credential if `refused`."""

    delay: float
    refused: bool


class LogReader:
    """The state of one reader across its connections."""

    def __init__(self, cursor: Cursor, start: Start) -> None:
        self.cursor = cursor
        """The place after the last entry that was handed over."""
        self.user_id: str | None = None
        self._start = start
        self._attempt = 0
        self._refusals = 0
        self._reconnect_after = 0.0
        self._ready = False

    def hello(self) -> str:
        """Returns the first frame of a connection."""
        self._ready = False
        self._reconnect_after = 0.0
        frame: dict[str, Any] = {"type": "hello"}
        if self.cursor.epoch is None and self.cursor.offset == 0:
            frame["start"] = self._start
        else:
            frame["after"] = self.cursor.offset
            if self.cursor.epoch is not None:
                frame["epoch"] = self.cursor.epoch
        return json.dumps(frame)

    def receive(self, text: str | bytes) -> Entry | Gap | None:
        """Applies a frame. Returns an entry, a gap, or `None` for any other frame.

        Raises `BrokenContract` if the connection has to be replaced, and `LogReplacedError` if the log is another one.
        """
        try:
            frame = json.loads(text)
        except ValueError as error:
            raise BrokenContract(f"not a frame: {error}") from error
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise BrokenContract("not a frame")
        if "offset" in frame:
            return self._entry(frame)
        match frame["type"]:
            case "ready":
                return self._accept(cast(Ready, frame))
            case "caught_up":
                self._attempt = self._refusals = 0
            case "draining":
                self._reconnect_after = frame.get("reconnect_after_ms", 0) / 1000
            case _:
                pass
        return None

    def _accept(self, ready: Ready) -> Gap | None:
        if self._ready:
            raise BrokenContract("a second ready (CONN-2)")
        if self.user_id is not None and self.user_id != ready["user_id"]:
            raise LogReplacedError(f"the credential is now that of another user: {ready['user_id']}")
        before, gap, resumed = self.cursor, ready["gap"], ready["resumed_after"]
        fresh = before.epoch is None and before.offset == 0
        if not fresh:
            replaced = before.epoch not in (None, ready["epoch"]) and gap is not None and gap["from"] <= 1
            if replaced or resumed < before.offset:
                raise LogReplacedError("the journal has another history than the cursor")
            if gap is None and resumed != before.offset:
                raise BrokenContract(f"resumed after {resumed}, not after {before.offset}, without a gap (DEL-3)")
        self._ready = True
        self.user_id = ready["user_id"]
        self.cursor = Cursor(resumed, ready["epoch"])
        return Gap(gap["from"], gap["to"]) if gap is not None and gap["to"] > 0 else None

    def _entry(self, frame: dict[str, Any]) -> Entry | None:
        offset = frame["offset"]
        if not self._ready:
            raise BrokenContract("an entry before ready (CONN-2)")
        if "user_id" in frame and frame["user_id"] != self.user_id:
            raise BrokenContract("an entry of another user (ISO-1)")
        if offset <= self.cursor.offset:
            return None
        if offset != self.cursor.offset + 1:
            raise BrokenContract(f"entry {offset} follows entry {self.cursor.offset} (DEL-2)")
        self.cursor = Cursor(offset, self.cursor.epoch)
        return cast(Entry, frame)

    def lost(self, code: int | None, reason: str, dice: float) -> Retry:
        """Returns how to go on after a connection ended with a close code, or without one (`None`).

        Raises `QuintetError` after a final close code, or after too many refused credentials. `dice` is in 0..1.
        """
        if code is not None and (code in FINAL or (code >= 4400 and code not in (4401, 4408, 4429))):
            raise QuintetError("closed", f"close code {code}: {reason or 'no reason'}")
        refused = code == 4401
        return self._again(refused, later=code in (1013, 4429), floor=self._reconnect_after, dice=dice)

    def rejected(self, status: int, retry_after: float | None, dice: float) -> Retry:
        """Returns how to go on after the service answered the upgrade with an HTTP status.

        Raises `QuintetError` if repeating is useless.
        """
        if status == 401:
            return self._again(True, later=False, floor=0.0, dice=dice)
        if status == 429 or status >= 500:
            return self._again(False, later=True, floor=retry_after or 0.0, dice=dice)
        raise QuintetError("forbidden" if status == 403 else "closed", f"the upgrade was answered with {status}")

    def _again(self, refused: bool, *, later: bool, floor: float, dice: float) -> Retry:
        self._refusals = self._refusals + 1 if refused else self._refusals
        if self._refusals > REFUSALS_MAX:
            raise QuintetError("unauthenticated", f"{self._refusals} credentials in a row were refused")
        # Full jitter: a random time below a ceiling that doubles.
        ceiling = min(DELAY_MAX, (DELAY_LATER if later else DELAY) * 2 ** min(self._attempt, 16))
        self._attempt += 1
        return Retry(floor + dice * ceiling, refused)

    def gap_error(self, gap: Gap) -> GapError:
        """Returns the error for a gap that nobody takes."""
        return GapError(gap, self.cursor.epoch or "")


FINAL = (1000, 1002, 1007, 1009)
DELAY = 0.5
DELAY_LATER = 4.0
DELAY_MAX = 30.0
REFUSALS_MAX = 3
FRAME_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of one frame that a client takes; an entry of the service is far below."""

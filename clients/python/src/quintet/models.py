"""The results of commands and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._protocol import AgentCompleted, Entry


@dataclass(frozen=True)
class Accepted:
    """The promise that a message and its run survive any crash (DEL-5)."""

    run_id: str
    message_id: str
    message_offset: int
    """The offset of the `user_message`."""
    duplicate: bool
    """Whether the message had been accepted before (DEL-6)."""


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: list[Any]
    next_before: int | None
    """The `before` of the next page; `None` on the last one."""


@dataclass
class Call:
    """A call of a run: of a tool, or a question to the client."""

    call_id: str
    tool_name: str
    parameters: dict[str, Any]
    by: str
    status: str | None = None
    """`None` while it is open."""
    results: Any = None
    error: str | None = None


@dataclass
class CompletedRun:
    """A run, folded from its entries."""

    answer: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    end: AgentCompleted | None = None
    """The last event; `None` before it."""

    @property
    def status(self) -> str | None:
        """The status of the run; `None` while it is open."""
        return self.end["status"] if self.end else None

    def apply(self, entry: Entry) -> None:
        """Applies the next entry of the run."""
        if entry["type"] == "agent_thinking":
            text = entry["delta"]
            if entry["kind"] == "answer":
                self.answer = text if entry.get("reset") else self.answer + text
            elif entry["kind"] == "reasoning":
                self.reasoning = text if entry.get("reset") else self.reasoning + text
        elif entry["type"] == "tool_executing":
            call = Call(entry["call_id"], entry["tool_name"], entry["parameters"], entry["by"])
            self.calls.append(call)
        elif entry["type"] == "tool_completed":
            for call in self.calls:
                if call.call_id == entry["call_id"]:
                    call.status, call.results, call.error = entry["status"], entry["results"], entry["error"]
        elif entry["type"] == "agent_completed":
            self.end = entry

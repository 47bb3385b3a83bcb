"""Client of Quintet: durable runs of AI agents, each entry exactly once, across reconnects, restarts and crashes.

`Quintet` blocks, `AsyncQuintet` is for asyncio; both have the same methods. Commands go over HTTP and are repeated
until the service has answered them; entries come over a WebSocket that resumes after the last one.
"""

from . import _protocol as protocol
from ._protocol import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    Entry,
    ToolCompleted,
    ToolExecuting,
    UserMessage,
)
from ._reader import Cursor
from ._requests import dev_login
from .aio import AsyncQuintet
from .errors import Gap, GapError, LogReplacedError, QuintetError, RunFailedError
from .models import Accepted, Call, CompletedRun, Page
from .sync import Quintet

__all__ = [
    "Accepted",
    "AgentCompleted",
    "AgentStarted",
    "AgentThinking",
    "AsyncQuintet",
    "Call",
    "CompletedRun",
    "Cursor",
    "Entry",
    "Gap",
    "GapError",
    "LogReplacedError",
    "Page",
    "Quintet",
    "QuintetError",
    "RunFailedError",
    "ToolCompleted",
    "ToolExecuting",
    "UserMessage",
    "dev_login",
    "protocol",
]

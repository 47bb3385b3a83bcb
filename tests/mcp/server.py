"""An MCP server of the Python SDK: tools that count, ask, hang, fail and die.

python server.py                 stdio
python server.py http PORT       streamable HTTP on 127.0.0.1
"""

import os
import signal
import subprocess
import sys
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

server = MCPServer("quintet-peer")


class City(BaseModel):
    city: str


def ask_city(nights: int) -> Elicit[City]:
    return Elicit(f"Which city for {nights} nights?", City)


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts and reports each number."""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to, f"{number} of {to}")
        await anyio.sleep(0.02)
    return f"counted to {to}"


@server.tool()
def book(nights: int, city: Annotated[City, Resolve(ask_city)]) -> str:
    """Asks for a city and books a room."""
    return f"{nights} nights in {city.city}"


@server.tool()
async def hang() -> str:
    """Waits for its cancellation, and writes that it came to the file MARK."""
    mark("started")
    try:
        await anyio.sleep_forever()
    finally:
        mark("cancelled")
    return "never"


def mark(text: str) -> None:
    """Writes to the pipe MARK, if there is one."""
    if "MARK" in os.environ:
        with open(os.environ["MARK"], "w") as pipe:
            pipe.write(text + "\n")


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("the tool is broken")


@server.tool()
def die() -> str:
    """Kills its own process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@server.tool()
def processes() -> list[int]:
    """Starts a child and returns the ids of this process and of the child."""
    return [os.getpid(), subprocess.Popen(["sleep", "1000"]).pid]


@server.tool()
def variables() -> list[str]:
    """Returns the names of the environment variables."""
    return sorted(os.environ)


@server.tool()
async def grow(ctx: Context) -> str:
    """Adds a tool and announces it."""

    def grown() -> str:
        """Was added later."""
        return "grown"

    server.add_tool(grown)
    await ctx.notify_tools_changed()  # since revision 2026-07-28
    await ctx.session.send_tool_list_changed()  # before it
    return "done"


if sys.argv[1:2] == ["http"]:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run()

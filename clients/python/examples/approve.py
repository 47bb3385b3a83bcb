"""Answers the questions of a run on the terminal, with asyncio. With `quintet dev` running: python approve.py [URL]"""

import asyncio
import json
import sys

from quintet import AsyncQuintet, dev_login

SCRIPT = {
    "steps": [{"ask": {"call_id": "q1", "tool_name": "approve", "parameters": {"what": "deploy"}}}, {"answer": "ok"}]
}


async def main(url: str) -> None:
    async with AsyncQuintet(url, dev_login(url, "ann")) as client:
        async for entry in client.run("approvals", json.dumps(SCRIPT), agent_name="rehearsal"):
            if entry["type"] == "tool_executing" and entry["by"] == "client":
                print(f"{entry['tool_name']}: {entry['parameters']} [y/N]", flush=True)
                if (await asyncio.to_thread(sys.stdin.readline)).strip() == "y":
                    await client.answer(entry["run_id"], entry["call_id"], {"approved": True})
                else:
                    await client.decline(entry["run_id"], entry["call_id"])
            elif entry["type"] in ("tool_completed", "agent_completed"):
                print(entry["status"])


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))

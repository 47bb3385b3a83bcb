"""Counts the runs of a user by status, and goes on where it was after a crash: the cursor is stored with the counts.

With `quintet dev` running: python worker.py FILE [URL] [RUNS]; it ends after RUNS runs in all.
"""

import json
import sys
from pathlib import Path

from quintet import Quintet, dev_login

store = Path(sys.argv[1])
url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8080"
runs_max = int(sys.argv[3]) if len(sys.argv) > 3 else None
state = json.loads(store.read_text()) if store.exists() else {"offset": 0, "epoch": None, "runs": {}}

with Quintet(url, dev_login(url, "ann")) as client:
    entries = client.entries(
        after=state["offset"], epoch=state["epoch"], on_cursor=lambda c: state.update(epoch=c.epoch)
    )
    for entry in entries:
        if entry["type"] == "agent_completed":
            state["runs"][entry["status"]] = state["runs"].get(entry["status"], 0) + 1
        state["offset"] = entry["offset"]
        # One write for the effect and the cursor: both, or neither.
        new = store.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(store)
        if sum(state["runs"].values()) == runs_max:
            break
print(state["runs"])

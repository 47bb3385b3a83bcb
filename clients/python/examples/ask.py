"""Asks two questions. With `quintet dev` running: python ask.py [URL]"""

import sys

from quintet import Quintet, dev_login

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
with Quintet(url, dev_login(url, "ann")) as client:
    print(client.ask("python", "12*(3+4)"))
    for entry in client.run("python", "what time is it in Lisbon?"):
        print(entry["type"], entry.get("delta", ""))

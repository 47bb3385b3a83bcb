"""The examples, as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Service

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def play(name: str, *arguments: str, stdin: str = "", python: str = sys.executable) -> str:
    command = [python, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ask(service: Service) -> None:
    lines = play("ask.py", service.url).splitlines()
    assert "84" in lines[0]
    assert lines[-1].startswith("agent_completed")


@pytest.mark.skipif(
    "CLIENTS_TEST_PYTHON" not in os.environ and "CI" not in os.environ, reason="needs tests/python/run.sh"
)
def test_ask_in_an_environment_with_nothing_but_the_wheel_and_its_dependencies(service: Service) -> None:
    assert "84" in play("ask.py", service.url, python=os.environ["CLIENTS_TEST_PYTHON"])


@pytest.mark.parametrize(("key", "status"), [("y", "ok"), ("n", "declined")])
def test_approve(service: Service, key: str, status: str) -> None:
    assert status in play("approve.py", service.url, stdin=f"{key}\n").splitlines()


def test_worker_counts_each_run_once_across_its_own_ends(service: Service, tmp_path: Path) -> None:
    store = tmp_path / "counts.json"
    with service.client("ann") as client:
        for i in range(4):
            client.ask(f"t{i}", "1+1")
    for runs in ("1", "3", "4"):
        play("worker.py", str(store), service.url, runs)
        assert json.loads(store.read_text())["runs"] == {"succeeded": int(runs)}

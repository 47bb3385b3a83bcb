"""The words of the model (clients/words, generated from it): every step that the model of a service can make towards one
client, and every log of its small instances."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from test_reader import connected, entry, ready

from quintet import CompletedRun, Cursor, Gap
from quintet._reader import BrokenContract, LogReader

WORDS = Path(__file__).resolve().parents[2] / "words"
pytestmark = pytest.mark.skipif(not WORDS.exists(), reason="the source distribution has no words")

Letter = Any


def read(name: str) -> Any:
    return json.loads((WORDS / f"{name}.json").read_text())


def words() -> list[list[Letter]]:
    """For each step of the automaton, a shortest word that ends with it."""
    automaton = read("deliveries")
    ways: dict[int, list[Letter]] = {0: []}
    found, queue = [], deque([0])
    while queue:
        at = queue.popleft()
        for letter, to in automaton["states"][at]:
            word = [*ways[at], automaton["letters"][letter]]
            found.append(word)
            if to not in ways:
                ways[to] = word
                queue.append(to)
    return found


def play(word: list[Letter]) -> tuple[list[int], list[Gap]]:
    """Plays a word to a reader. Returns what it delivered."""
    reader = LogReader(Cursor(), "beginning")
    delivered: list[int] = []
    gaps: list[Gap] = []
    for letter in word:
        match letter:
            case {"connect": after}:
                assert json.loads(reader.hello()).get("after", 0) == after
            case {"ready": after, "gap": gap}:
                item = reader.receive(ready(after, gap=tuple(gap) if gap else None))
                if isinstance(item, Gap):
                    gaps.append(item)
            case {"entries": [first, last]}:
                for offset in range(first, last + 1):
                    item = reader.receive(entry(offset))
                    assert isinstance(item, dict)
                    delivered.append(item["offset"])
            case {"caught_up": head}:
                reader.receive(json.dumps({"type": "caught_up", "head": head}))
            case "accepted":
                reader.receive('{"type":"accepted","message_id":"m","run_id":"r","message_offset":1,"duplicate":false}')
            case "draining":
                reader.receive('{"type":"draining","reconnect_after_ms":1}')
            case "lost":
                reader.lost(None, "", 0.5)
            case _:
                raise AssertionError(letter)
    return delivered, gaps


def promised(word: list[Letter]) -> list[int]:
    ranges = [letter["entries"] for letter in word if isinstance(letter, dict) and "entries" in letter]
    return [offset for first, last in ranges for offset in range(first, last + 1)]


def test_del_2_del_3_every_step_of_the_model_delivers_each_entry_once_in_order() -> None:
    every = words()
    assert len(every) > 200
    for word in every:
        delivered, gaps = play(word)
        assert delivered == promised(word), word
        named = [letter["gap"] for letter in word if isinstance(letter, dict) and letter.get("gap")]
        assert [[gap.first, gap.last] for gap in gaps] == named


def test_del_2_a_word_in_which_entries_are_left_out_is_refused() -> None:
    spoiled = 0
    for word in words():
        match word[-1]:
            case {"entries": [first, last]} if last > first:
                spoiled += 1
                with pytest.raises(BrokenContract):
                    play([*word[:-1], {"entries": [first + 1, last]}])
    assert spoiled > 5


def test_run_1_to_run_12_every_log_of_the_model_folds_into_what_the_contract_gives() -> None:
    logs = read("logs")
    paths: list[list[int]] = []
    assert len(logs["nodes"]) > 4_000
    for parent, last, state in logs["nodes"]:
        path = [*(paths[parent] if parent >= 0 else []), last]
        paths.append(path)
        reader = connected()
        runs: dict[str, CompletedRun] = {}
        started: set[str] = set()
        for offset, index in enumerate(path, start=1):
            item = reader.receive(json.dumps({**logs["entries"][index], "offset": offset}))
            assert item is not None
            assert not isinstance(item, Gap)
            run_id = item.get("run_id")
            if not isinstance(run_id, str):
                continue
            runs.setdefault(run_id, CompletedRun()).apply(item)
            if item["type"] == "agent_started":
                started.add(run_id)
        found = [
            [
                run_id,
                run.status or ("active" if run_id in started else "queued"),
                [call.call_id for call in run.calls if call.status is None],
            ]
            for run_id, run in runs.items()
        ]
        assert found == logs["states"][state]

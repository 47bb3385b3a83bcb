"""The reader without a network: each entry once, in order, no silent hole, every close code obeyed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet import AsyncQuintet, Cursor, Gap, LogReplacedError, Quintet, QuintetError
from quintet._reader import BrokenContract, LogReader


def ready(resumed_after: int, *, epoch: str = "e1", user_id: str = "ann", gap: tuple[int, int] | None = None) -> str:
    missing = {"from": gap[0], "to": gap[1]} if gap else None
    return json.dumps(
        {"type": "ready", "user_id": user_id, "epoch": epoch, "resumed_after": resumed_after, "gap": missing}
    )


def entry(offset: int, **fields: Any) -> str:
    return json.dumps({"type": "agent_thinking", "offset": offset, "user_id": "ann", **fields})


def connected(after: int = 0, epoch: str | None = None) -> LogReader:
    reader = LogReader(Cursor(after, epoch), "beginning")
    reader.hello()
    reader.receive(ready(after, epoch=epoch or "e1"))
    return reader


def offset_of(item: object) -> int | None:
    return item.get("offset") if isinstance(item, dict) else None


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=12), st.integers(0, 40))
def test_del_2_each_entry_is_delivered_once_whatever_is_cut_off_and_repeated(
    connections: list[tuple[int, int]], length: int
) -> None:
    reader = LogReader(Cursor(), "beginning")
    delivered: list[int] = []
    for taken, repeated in [*connections, (length, 0)]:
        cursor = json.loads(reader.hello()).get("after", 0)
        assert cursor == reader.cursor.offset
        reader.receive(ready(cursor))
        first = max(1, cursor + 1 - repeated)
        for offset in range(first, min(length, cursor + taken) + 1):
            item = reader.receive(entry(offset))
            if item is not None:
                delivered.append(offset_of(item) or 0)
    assert delivered == list(range(1, length + 1))


def test_del_2_a_hole_is_refused_and_nothing_of_it_is_delivered() -> None:
    reader = connected(3)
    with pytest.raises(BrokenContract, match="entry 5 follows entry 3"):
        reader.receive(entry(5))
    assert reader.cursor.offset == 3


def test_iso_1_an_entry_of_another_user_is_refused() -> None:
    with pytest.raises(BrokenContract, match="another user"):
        connected().receive(json.dumps({"type": "agent_started", "offset": 1, "user_id": "ben"}))


def test_del_8_an_erased_entry_moves_the_cursor() -> None:
    reader = connected(3)
    item = reader.receive(json.dumps({"type": "erased", "offset": 4, "timestamp": 1}))
    assert offset_of(item) == 4
    assert reader.cursor.offset == 4


def test_del_3_a_gap_is_handed_over_and_the_next_entry_follows_it() -> None:
    reader = LogReader(Cursor(3, "e1"), "beginning")
    assert json.loads(reader.hello()) == {"type": "hello", "after": 3, "epoch": "e1"}
    assert reader.receive(ready(9, gap=(4, 9))) == Gap(4, 9)
    assert offset_of(reader.receive(entry(10))) == 10


@pytest.mark.parametrize(
    "frame",
    [
        ready(0, epoch="e2", gap=(0, 0)),
        ready(5, epoch="e2", gap=(1, 5)),
        ready(2, gap=(3, 3)),
        ready(3, user_id="ben"),
    ],
)
def test_del_3_another_log_is_an_error_and_never_mixed_with_the_old_one(frame: str) -> None:
    reader = connected(3, "e1")
    reader.hello()
    with pytest.raises(LogReplacedError):
        reader.receive(frame)


def test_del_3_a_jump_without_a_gap_is_refused() -> None:
    reader = LogReader(Cursor(3, "e1"), "beginning")
    reader.hello()
    with pytest.raises(BrokenContract, match="without a gap"):
        reader.receive(ready(5))


def test_a_restart_of_the_service_resumes_as_usual() -> None:
    reader = LogReader(Cursor(3, "e1"), "beginning")
    reader.hello()
    assert reader.receive(ready(3, epoch="e2")) is None
    assert reader.cursor == Cursor(3, "e2")


@pytest.mark.parametrize("code", [1000, 1002, 1007, 1009, 4400, 4403, 4499])
def test_conn_3_a_final_close_code_ends_the_client(code: int) -> None:
    with pytest.raises(QuintetError, match=str(code)):
        connected().lost(code, "", 0.5)


@pytest.mark.parametrize("code", [None, 1006, 1011, 1012, 1013, 4408, 4429])
def test_conn_3_any_other_end_is_retried_with_growing_delays(code: int | None) -> None:
    reader = connected()
    delays = [reader.lost(code, "", 1.0).delay for _ in range(12)]
    assert delays == sorted(delays)
    assert delays[0] == (4.0 if code in (1013, 4429) else 0.5)
    assert delays[-1] == 30.0
    reader.hello()
    reader.receive(ready(0))
    reader.receive('{"type":"caught_up","head":0}')
    assert reader.lost(code, "", 1.0).delay == delays[0]


def test_conn_6_the_delay_of_a_drain_is_kept() -> None:
    reader = connected()
    reader.receive('{"type":"draining","reconnect_after_ms":1500}')
    assert reader.lost(1012, "", 0.0).delay == 1.5


def test_auth_3_a_refused_credential_is_replaced_three_times() -> None:
    reader = connected()
    assert all(reader.lost(4401, "", 0.0).refused for _ in range(2))
    assert reader.rejected(401, None, 0.0).refused
    with pytest.raises(QuintetError, match="unauthenticated"):
        reader.rejected(401, None, 0.0)


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.integers(), st.lists).map(json.dumps)))
def test_conn_4_what_is_not_a_frame_is_refused(text: str | bytes) -> None:
    with pytest.raises(BrokenContract):
        connected().receive(text)


@pytest.mark.parametrize("url", ["localhost:8080", "ws://127.0.0.1:8080", ""])
def test_an_address_without_http_is_an_error_at_once(url: str) -> None:
    for client in (Quintet, AsyncQuintet):
        with pytest.raises(ValueError, match="http://"):
            client(url, "token")

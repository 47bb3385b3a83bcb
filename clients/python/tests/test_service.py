"""Both clients against a real service: runs, questions, crashes, drains, erasures of connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from conftest import Service

from quintet import Cursor, Entry, LogReplacedError, QuintetError, RunFailedError


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": list(steps)})


TWO_ANSWERS = script({"think": "hm"}, {"answer": "one "}, {"answer": "two"})
QUESTION = script(
    {"ask": {"call_id": "q1", "tool_name": "approve", "parameters": {"what": "deploy"}}}, {"answer": "done"}
)


def rehearsal(client: Any, thread_id: str, text: str) -> Any:
    return client.run(thread_id, text, agent_name="rehearsal")


def test_a_message_is_answered(service: Service) -> None:
    with service.client("ann") as client:
        assert "84" in client.ask("first", "12*(3+4)")
        run = client.complete("first", TWO_ANSWERS, agent_name="rehearsal")
        assert (run.status, run.answer, run.reasoning) == ("succeeded", "one two", "hm")
        assert run.end is not None and run.end["final_response"] == run.answer
        threads = client.threads()
        assert [thread["thread_id"] for thread in threads.items] == ["first"]
        assert {agent["agent_name"] for agent in client.agents()} >= {"assistant", "rehearsal"}


def test_a_run_that_fails_is_an_error_with_its_code(service: Service) -> None:
    with service.client("ann") as client:
        with pytest.raises(RunFailedError) as failure:
            client.ask("t", script({"fail": "no luck"}), agent_name="rehearsal")
        assert (failure.value.status, failure.value.code) == ("failed", "agent_error")
        assert client.complete("t", "not a script", agent_name="rehearsal").status == "failed"


def test_run_11_a_question_is_answered_or_declined_once(service: Service) -> None:
    with service.client("ann") as client:
        for decline in (False, True):
            entries: list[Entry] = []
            for entry in rehearsal(client, "t", QUESTION):
                entries.append(entry)
                if entry["type"] == "tool_executing" and entry["by"] == "client":
                    if decline:
                        client.decline(entry["run_id"], entry["call_id"], "not today")
                    else:
                        client.answer(entry["run_id"], entry["call_id"], {"approved": True})
                    with pytest.raises(QuintetError, match="call_closed"):
                        client.answer(entry["run_id"], entry["call_id"], {"approved": True})
            closed = [entry for entry in entries if entry["type"] == "tool_completed"]
            assert [call["status"] for call in closed] == ["declined" if decline else "ok"]


def test_del_6_a_repeated_message_id_is_one_run(service: Service) -> None:
    with service.client("ann") as client:
        first = client.send("t", "1+1", message_id="job-7")
        again = client.send("t", "1+1", message_id="job-7")
        assert (first.run_id, first.duplicate, again.duplicate) == (again.run_id, False, True)
        with pytest.raises(QuintetError, match="message_id_reused"):
            client.send("t", "other", message_id="job-7")


def test_iso_3_the_runs_of_others_do_not_exist(service: Service) -> None:
    with service.client("ann") as ann, service.client("ben") as ben:
        run_id = ann.send("t", "1+1").run_id
        for command in (lambda: ben.cancel(run_id), lambda: ben.run_info(run_id), lambda: ben.answer(run_id, "q1")):
            with pytest.raises(QuintetError, match="not_found"):
                command()


def test_cancel_ends_a_run(service: Service) -> None:
    with service.client("ann") as client:
        for entry in rehearsal(client, "t", script({"think": "on it"}, {"hang": True})):
            if entry["type"] == "agent_thinking":
                client.cancel(entry["run_id"])
            if entry["type"] == "agent_completed":
                assert entry["status"] == "cancelled"


@pytest.mark.parametrize("kill", [True, False])
def test_del_2_entries_are_complete_across_a_crash_and_a_restart(service: Service, kill: bool) -> None:
    with service.client("ann") as client:
        client.ask("t", TWO_ANSWERS, agent_name="rehearsal")
        seen: list[Entry] = []
        for entry in client.entries():
            seen.append(entry)
            if entry["type"] == "agent_completed" and len(seen) < 10:
                service.stop(kill=kill)
                service.restart()
                client.ask("t", "2+2")
            elif entry["type"] == "agent_completed":
                break
        assert [entry["offset"] for entry in seen] == list(range(1, len(seen) + 1))


def test_del_5_a_run_survives_a_crash_in_the_middle(service: Service) -> None:
    with service.client("ann") as client:
        kinds: list[str] = []
        for entry in rehearsal(client, "t", QUESTION):
            kinds.append(entry["type"])
            if entry["type"] == "tool_executing":
                service.stop(kill=True)
                service.restart()
                client.answer(entry["run_id"], entry["call_id"])
        assert kinds.count("agent_completed") == 1
        assert kinds.count("tool_completed") == 1


def test_a_stored_cursor_goes_on_where_it_was(service: Service) -> None:
    cursors: list[Cursor] = []
    with service.client("ann") as client:
        client.ask("t", TWO_ANSWERS, agent_name="rehearsal")
        for entry in client.entries(on_cursor=cursors.append):
            if entry["offset"] == 3:
                break
    # The third entry was taken, and the loop never asked for the fourth: its effects may be unfinished.
    assert cursors[-1].offset == 2
    service.stop(kill=True)
    service.restart()
    with service.client("ann") as client:
        resumed = client.entries(after=cursors[-1].offset, epoch=cursors[-1].epoch)
        assert next(resumed)["offset"] == 3
        resumed.close()


def test_del_3_a_cursor_of_another_journal_is_an_error(service: Service) -> None:
    with service.client("ann") as client:
        client.ask("t", "1+1")
        with pytest.raises(LogReplacedError):
            next(client.entries(after=2, epoch="another-journal"))


def test_auth_5_a_refused_credential_ends_the_client(service: Service) -> None:
    from quintet import Quintet

    calls: list[int] = []

    def forged() -> str:
        calls.append(1)
        return "forged"

    with Quintet(service.url, forged) as client:
        with pytest.raises(QuintetError, match="unauthenticated"):
            client.send("t", "1+1")
        assert len(calls) == 2, "a fresh one is tried once"


def test_an_absent_service_is_an_error_in_time(service: Service) -> None:
    from quintet import Quintet, dev_login

    token = dev_login(service.url, "ann")()
    service.stop(kill=True)
    with Quintet(service.url, token, timeout=1.0) as client, pytest.raises(QuintetError, match="unreachable"):
        client.send("t", "1+1")
    service.restart()


def test_asyncio_many_runs_side_by_side(service: Service) -> None:
    async def scenario() -> None:
        async with service.async_client("ann") as client:
            answers = await asyncio.gather(*(client.ask(f"t{i}", f"{i}*{i}") for i in range(8)))
            assert all(str(i * i) in answer for i, answer in enumerate(answers))
            offsets = []
            async for entry in client.entries():
                offsets.append(entry["offset"])
                if sum(1 for _ in offsets) >= 40:
                    break
            assert offsets == list(range(1, len(offsets) + 1))

    asyncio.run(scenario())


def test_asyncio_a_crash_in_the_middle(service: Service) -> None:
    async def scenario() -> None:
        async with service.async_client("ann") as client:
            ends = 0
            async for entry in rehearsal(client, "t", QUESTION):
                if entry["type"] == "tool_executing":
                    service.stop(kill=True)
                    service.restart()
                    await client.decline(entry["run_id"], entry["call_id"])
                ends += entry["type"] == "agent_completed"
            assert ends == 1

    asyncio.run(scenario())

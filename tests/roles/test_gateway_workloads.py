"""Workloads over HTTP: sessions, batches and the jobs of neither, as one list."""

from typing import Any

from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS
from schemas.events import Completed
from schemas.ledger import SessionEntry
from schemas.ledger_records import session_entry_record
from schemas.sessions import Mode, SessionDetails, SessionOpened, SessionState, session_key
from tests.support.awaiting import eventually
from tests.support.gateway import Running, running


async def session(served: Running, named: str, mode: Mode, second: int) -> None:
    """A session that was opened in that second."""
    details = SessionDetails(mode=mode, backend="aer_simulator", max_ttl=60, interactive_ttl=1)
    event = SessionOpened(
        session_id=named,
        seq=1,
        time=f"2026-11-28T06:56:{second:02}.000Z",
        state=SessionState.OPEN,
        session=details,
    )
    entry = SessionEntry(session_key("default", named), event, 1)
    await served.ledger.log.append(EVENTS, [session_entry_record(entry)])


async def some(served: Running) -> None:
    """Two jobs alone, two in sessions, a session and a batch; by age: b1, s1, j1, j2."""
    await session(served, "b1", Mode.BATCH, 1)
    await session(served, "s1", Mode.DEDICATED, 2)
    await served.ledger.queue("j1", {"text": "x"}, tags=("red",))
    await served.ledger.queue("in-b1", session_id="b1", tags=("red",))
    await served.ledger.queue("in-s1", session_id="s1")
    await served.ledger.queue("j2")
    await served.ledger.start("j1")
    await served.ledger.append("j1", Completed, attempt=1)
    await eventually(lambda: ended(served))


async def ended(served: Running) -> bool:
    return bool((await served.get("/jobs/j1"))["terminal"])


async def names(served: Running, query: str) -> list[str]:
    page = await served.get(f"/workloads{query}")
    assert page["total_count"] == len(page["workloads"])
    assert "next" not in page
    return [each["id"] for each in page["workloads"]]


async def test_sessions_batches_and_jobs_of_neither_are_listed_by_age() -> None:
    async with running(MemoryLog()) as served:
        await some(served)
        page = await served.get("/workloads")

    shown = {each["id"]: each for each in page["workloads"]}
    assert list(shown) == ["j2", "j1", "s1", "b1"]
    assert [each["mode"] for each in shown.values()] == ["job", "job", "session", "batch"]
    assert [each["status"] for each in shown.values()] == [
        "pending", "completed", "pending", "pending",
    ]  # fmt: skip
    assert [each["accepting_jobs"] for each in shown.values()] == [None, None, True, True]
    assert shown["j1"]["tags"] == ["red"]
    assert shown["j1"]["ended"]
    assert shown["j1"]["usage"]["status"] == "complete"
    assert shown["s1"]["backend"] == "aer_simulator"


async def test_workloads_are_chosen_and_what_they_are_not_chosen_by_is_told() -> None:
    async with running(MemoryLog()) as served:
        await some(served)
        chosen = [
            await names(served, query)
            for query in (
                "?mode=job", "?mode=session", "?mode=batch", "?tags=red", "?backend=nowhere",
                "?sort=createdAt", "?created_before=2026-11-28T06:56:02Z", "?mode=batch&tags=red",
            )
        ]  # fmt: skip
        told = [
            (await served.get(f"/workloads?{query}", 400))["error"]["message"]
            for query in ("mode=all", "status=failed", "search=x", "previous=x", "next=x")
        ]

    assert chosen == [
        ["j2", "j1"], ["s1"], ["b1"], ["j1"], [], ["b1", "s1", "j1", "j2"], ["b1"], [],
    ]  # fmt: skip
    assert [message.partition(":")[0] for message in told] == [
        "mode", "status", "search", "previous", "next",
    ]  # fmt: skip


async def test_who_follows_the_links_sees_each_workload_once() -> None:
    for query in ("limit=1", "limit=3", "limit=2&sort=createdAt", "limit=4"):
        async with running(MemoryLog()) as served:
            await some(served)
            url: str = f"{served.url}/workloads?{query}"
            seen: list[Any] = []
            while url:
                async with served.http.get(url) as answered:
                    page = await answered.json()
                assert (answered.status, page["total_count"]) == (200, 4)
                seen += [each["id"] for each in page["workloads"]]
                url = page.get("next", {}).get("href", "")
            wanted = ["j2", "j1", "s1", "b1"]
            assert seen == (wanted[::-1] if "sort" in query else wanted), query

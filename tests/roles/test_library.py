"""Programs that somebody brings: known to all roles once they are acknowledged, whoever took them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw
from msgspec.structs import replace

from broker.core.inputs import Request, Submitted
from broker.core.roster import Roster
from broker.errors import (
    InvalidRequestError,
    NotYourProgramError,
    UnavailableError,
    UnknownProgramError,
)
from broker.gateway.programs import Programs, known_program
from broker.judging.judge import Judge
from broker.ledger.preparing import Preparation
from broker.library import Library
from broker.telemetry.times import now
from broker.transports.blobs import open_blobs
from broker.transports.memory import LoseAppend, MemoryLog
from broker.worker.host import Worker
from broker.worker.pools import Pool
from executors.base import Task
from executors.scripted import RETURNS, Script, ScriptedExecutor
from schemas.ledger import InputPosition
from schemas.limits import MIB
from schemas.records import Record
from schemas.requests import SubmitJob
from schemas.topics import PROGRAMS
from schemas.uploads import Upload
from schemas.values import JobKey
from schemas.versions import INLINE_CODE
from tests.support.awaiting import eventually
from tests.support.broker import Side, a_broker, hello_world, running

CODE = b"def main(backend, user_messenger):\n    return 1\n"
TAKES_A_NUMBER = {"parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
OTHERWISE = {"parameters": {"type": "object", "properties": {"n": {"type": "string"}}}}
BLOBS = open_blobs("memory:///")


@asynccontextmanager
async def gateway(log: MemoryLog, most: int = 10, most_bytes: int = MIB) -> AsyncIterator[Programs]:
    """As one of several gateways has them."""
    library = Library(log, [hello_world()])
    async with library.in_use():
        yield Programs(log, BLOBS, library, persist=0.2, most=most, most_bytes=most_bytes)


async def test_what_one_gateway_took_the_other_has_as_soon_as_it_is_acknowledged() -> None:
    log = MemoryLog()
    async with gateway(log) as one, gateway(log) as other:
        brought = await one.upload("default", Upload("A coin, tossed"), CODE)
        program_id = brought.program.id
        assert program_id.startswith("A-coin-tossed-")
        assert (await other.get("default", program_id)).program.version == brought.program.version
        assert await other.code("default", program_id) == CODE
        changed = await other.update("default", program_id, Upload(description="new"), None)
        seen = (await one.get("default", program_id)).program
        assert seen.specification.description == "new"
        assert seen.version == changed.program.version != brought.program.version
        await one.delete("default", program_id)
        with pytest.raises(UnknownProgramError, match="hello-world"):
            await other.get("default", program_id)


async def test_only_its_author_changes_a_program_or_sees_its_code() -> None:
    log = MemoryLog()
    async with gateway(log) as programs:
        private = (await programs.upload("a", Upload("p"), CODE)).program.id
        public = (await programs.upload("a", Upload("p", is_public=True), CODE)).program.id
        assert [each.program.id for each in await programs.seen_by("b")] == ["hello-world", public]
        for program_id, error in (
            (private, UnknownProgramError),
            (public, NotYourProgramError),
            ("hello-world", NotYourProgramError),
        ):
            with pytest.raises(error):
                await programs.update("b", program_id, Upload(description="x"), None)
            with pytest.raises(error):
                await programs.delete("b", program_id)
            with pytest.raises(error):
                await programs.code("b", program_id)


async def test_large_code_goes_by_reference_and_comes_back_whole() -> None:
    log, code = MemoryLog(), CODE + b"#" * INLINE_CODE
    async with gateway(log) as programs:
        brought = await programs.upload("default", Upload("large"), code)
        assert await programs.code("default", brought.program.id) == code
        assert programs.library.catalogue.weight < INLINE_CODE


async def test_a_tenant_has_only_so_many() -> None:
    async with gateway(MemoryLog(), most=2) as programs:
        for _ in range(2):
            await programs.upload("default", Upload("p"), CODE)
        with pytest.raises(InvalidRequestError, match="at most 2 programs"):
            await programs.upload("default", Upload("p"), CODE)
        await programs.upload("other", Upload("p"), CODE)


async def test_a_tenant_has_only_so_much_with_all_versions() -> None:
    async with gateway(MemoryLog()) as programs:
        brought = (await programs.upload("default", Upload("p"), b"#" * (MIB // 2))).program.id
        await programs.update("default", brought, Upload(), b"-" * (MIB // 2))
        with pytest.raises(InvalidRequestError, match="or 1 MiB of them"):
            await programs.update("default", brought, Upload(), b"+")
        await programs.delete("default", brought)


async def test_what_was_replaced_long_ago_goes_with_the_next_change_but_never_the_current_one() -> (
    None
):
    log = MemoryLog()
    async with gateway(log) as programs:
        brought = (await programs.upload("default", Upload("p"), CODE)).program
        [entry] = programs.library.catalogue.versions_of("default")
        long_ago = "2020-01-01T00:00:00.000Z"
        retired = replace(entry.said, retired=long_ago)  # a gateway died before it wrote the head
        stray = replace(entry.said, code="1", created=long_ago)  # two gateways replaced it at once
        late = replace(entry.said, code="2", retired=long_ago)
        recent = replace(late, code="3", retired=now())
        records = [PROGRAMS.write(each, now()) for each in (retired, stray, late, recent)]
        await log.append(PROGRAMS.name, records)

        await programs.upload("default", Upload("another"), CODE)
        catalogue = programs.library.catalogue
        kept = [each.said for each in catalogue.versions_of("default")]
        assert [each for each in kept if each.specification.id == brought.id] == [retired, recent]


async def test_a_change_fails_while_the_log_is_away_and_a_later_one_is_whole() -> None:
    log = MemoryLog()
    async with gateway(log) as programs:
        brought = (await programs.upload("default", Upload("p"), CODE)).program.id
        with log.fault(LoseAppend(PROGRAMS.name)), pytest.raises(UnavailableError):
            await programs.update("default", brought, Upload(description="x"), None)
        await programs.update("default", brought, Upload(description="y"), None)
        found = await programs.get("default", brought)
        assert found.program.specification.description == "y"


async def test_odd_records_on_the_topic_stop_nobody() -> None:
    log = MemoryLog()
    async with gateway(log) as programs:
        odd = [Record(b"{", b"x", partition=0), Record(b"\xff", b"\xff", partition=0)]
        odd += [Record(b"", b"/", partition=0), Record(b"", b"\xff/\xfe", partition=0)]
        await log.append(PROGRAMS.name, odd)
        brought = (await programs.upload("default", Upload("p"), CODE)).program.id
        assert [each.program.id for each in await programs.seen_by("default")] == sorted(
            ["hello-world", brought]
        )


async def test_who_asked_after_a_change_was_acknowledged_gets_what_was_changed() -> None:
    log = MemoryLog()
    deaf = Library(log, [hello_world()])  # it hears only what it asks for
    async with gateway(log) as programs:
        first = (await programs.upload("default", Upload("p", spec=TAKES_A_NUMBER), CODE)).program
        assert await known_program(deaf, first.id, "default")
        second = (await programs.update("default", first.id, Upload(spec=OTHERWISE), None)).program
        found = await known_program(deaf, first.id, "default")
        assert found.version == second.version
        assert not found.check_parameters(b'{"n": "x"}')
        with pytest.raises(UnknownProgramError):
            await known_program(deaf, first.id, "other")


async def test_a_broker_that_has_not_heard_of_a_change_yet_asks_before_it_pins() -> None:
    log, given = MemoryLog(), list[Request]()
    roster, deaf = Roster(), Library(log, [hello_world()])
    preparation = Preparation(BLOBS, deaf, roster, given.extend, Judge())
    async with gateway(log) as programs:
        first = (await programs.upload("default", Upload("p"), CODE)).program
        await deaf.catch_up()
        second = (await programs.update("default", first.id, Upload(), CODE + b"#")).program
        position, key = InputPosition("requests", 0, 1), JobKey("default", "j1")
        assert preparation.takes(Submitted(position, key, SubmitJob(first.id)))
        await eventually(lambda: bool(given))
        assert deaf.catalogue.get(first.id).version == second.version  # type: ignore[union-attr]


async def test_a_job_runs_what_it_pinned_after_an_update_a_delete_and_a_new_broker() -> None:
    log, ran = MemoryLog(), list[Task]()

    def script(task: Task) -> Script:
        ran.append(task)
        return RETURNS

    async with gateway(log) as programs:
        upload = Upload("p", spec=TAKES_A_NUMBER)
        brought = (await programs.upload("default", upload, CODE)).program
        side = Side(log, BLOBS)
        async with running(a_broker(log, BLOBS)) as tasks:
            await side.submit("j1", program_id=brought.id, params=Raw(b'{"n": 1}'))
            await side.submit("bad", program_id=brought.id, params=Raw(b'{"n": "x"}'))
            await eventually(lambda: side.kinds("j1") == ["queued"])
            await eventually(lambda: side.kinds("bad") == ["rejected"])
            assert not tasks[0].done()
        await programs.update("default", brought.id, Upload(), CODE + b"#")
        await programs.delete("default", brought.id)
        library = Library(log, [hello_world()])
        pool = Pool("p", ScriptedExecutor(script), 1)
        worker = Worker(log, BLOBS, [pool], "w1", programs=library)
        async with running(a_broker(log, BLOBS), worker):
            await eventually(lambda: "completed" in side.kinds("j1"))
            await side.submit("j2", program_id=brought.id)
            await eventually(lambda: side.kinds("j2") == ["rejected"])
    assert [(task.program_version, task.uploaded.code) for task in ran if task.uploaded] == [
        (brought.version, CODE)
    ]

"""The worker looks at results once more: the process of a program may be the program's own."""

import re

from msgspec import Raw

from broker.telemetry.times import now
from broker.transports.memory import MemoryLog
from executors.simulator import SimulatorExecutor
from schemas.topics import PROGRAMS
from schemas.versions import ProgramVersion
from tests.support.broker import hello_world
from tests.support.escapes import PAST_THE_CHECK
from tests.support.escaping import in_words, of
from tests.support.worker import working


async def test_no_result_gets_past_the_schema_of_its_program() -> None:
    log, inputs = MemoryLog(), Raw(b'{"worker":0,"server":0,"database":"","port":0,"abstract":""}')
    about = {"program_id": "p", "backend": "aer_simulator", "params": inputs}
    async with working(SimulatorExecutor(1), log=log, slots=1, programs=[hello_world()]) as qjb:
        for number, escape in enumerate(PAST_THE_CHECK):
            job_id = f"j{number}"
            brought = ProgramVersion("default", of(escape.result_schema), now(), escape.code)
            await log.append(PROGRAMS.name, [PROGRAMS.write(brought, now())])
            await qjb.tell(qjb.dispatch(job_id, program_version=brought.version, **about))

            reports = await qjb.ended(job_id)

            assert re.match(escape.gets, in_words(reports[-1].body)), reports[-1]
            assert "published" not in qjb.kinds(job_id)
            assert ("withheld" in qjb.kinds(job_id)) == escape.name.startswith("publish")

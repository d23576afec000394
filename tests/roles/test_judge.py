"""Requests are judged without anybody having to wait for it."""

import asyncio
import time

import pytest

from broker.errors import UnavailableError
from broker.judging.judge import AGAIN_AFTER, Judge, Turns, is_small
from broker.roles import built_in_programs
from schemas.decoding import UnreadableError
from schemas.uploads import as_json
from tests.support.awaiting import stays, steps
from tests.support.limits import no_more_descriptors
from tests.support.sampling import gaps

MIB = 1024 * 1024
BODIES = {
    "invalid": b'{"program_id":"sampler","params":{"circuits":[1' + b",1" * (16 * MIB) + b"]}}",
    "valid": b'{"program_id":"hello-world","params":{"iterations":0,"x":["'
    + b"cx q[0],q[1];" * (4 * MIB)
    + b'"]}}',
}


@pytest.mark.parametrize("kind", BODIES)
async def test_the_event_loop_goes_on_while_a_large_request_is_judged(kind: str) -> None:
    judge, by_id = Judge(), {program.id: program for program in built_in_programs()}
    with judge.in_use():
        await judge.read(BODIES["valid"])  # the helper has started
        async with gaps() as found:
            begun = time.perf_counter()
            request = await judge.read(BODIES[kind])
            findings = await judge.look(by_id[request.program_id], memoryview(request.params))
            took = time.perf_counter() - begun

    assert bool(findings.violations) == (kind == "invalid")
    # On the loop it would be one gap; a busy machine takes the loop's turn now and then.
    assert max(found) < took / 3


async def test_what_is_small_goes_before_what_is_large_that_waits() -> None:
    judge, sampler = Judge(), next(p for p in built_in_programs() if p.id == "sampler")
    large = b'{"circuits":"","parameter_values":[' + b"[0]," * 62_000 + b"[0]]}"
    small = b'{"circuits":"","parameter_values":[' + b"[0]," * 3_900 + b"[0]]}"
    done: list[bytes] = []

    async def look(inputs: bytes) -> None:
        await judge.look(sampler, inputs)
        done.append(inputs)

    with judge.in_use():
        await asyncio.gather(*(look(inputs) for inputs in [large] * 10 + [small] * 3))

    assert done == [large, *[small] * 3, *[large] * 9]


async def test_turns_end_in_order_and_whoever_leaves_gives_theirs_on() -> None:
    turns, seen = Turns(), list[int]()

    async def one(size: int) -> None:
        await turns.take(size)
        seen.append(size)
        turns.give()

    await turns.take(0)
    waiting = [asyncio.create_task(one(size)) for size in (3 * MIB, 2 * MIB, 5, 7, 100_000)]
    await steps()
    waiting[4].cancel()
    turns.give()
    waiting[2].cancel()  # the turn is given to it already
    await asyncio.wait(waiting)

    assert seen == [7, 3 * MIB, 2 * MIB]
    await one(0)


async def test_many_values_in_few_bytes_are_judged_beside_the_loop() -> None:
    judge, by_id = Judge(), {program.id: program for program in built_in_programs()}
    many = b'{"circuits":"","parameter_values":[' + b"[0]," * 3_900 + b"[0]]}"
    assert not is_small(many)
    assert is_small(b'{"circuits":"' + b"h q;" * 3_900 + b'"}')
    with judge.in_use():
        await judge.look(by_id["sampler"], many)  # the helper has started
        async with gaps() as found:
            begun = time.perf_counter()
            for _ in range(20):
                await judge.look(by_id["sampler"], many)
            took = time.perf_counter() - begun

    assert max(found) < took / 3  # on the loop it would be one gap


async def test_who_waits_no_more_leaves_the_answer_to_nobody_else() -> None:
    judge, by_id = Judge(), {program.id: program for program in built_in_programs()}
    wrong = b'{"circuits":[1' + b",1" * (2 * MIB) + b"]}"
    with judge.in_use():
        await judge.read(BODIES["valid"])  # the helper has started
        for wait in (0.001, 0.01, 0.03):
            asked = asyncio.create_task(judge.look(by_id["sampler"], wrong))
            await asyncio.sleep(wait)
            asked.cancel()
            pads = [b'{"iterations":3,"pad":"%s"}' % (b"x" * size) for size in (20_000, 30_000)]
            found = [await judge.look(by_id["hello-world"], pad) for pad in pads]
            again = [await judge.look(by_id["hello-world"], pad) for pad in pads]

            assert not any(findings.violations for findings in found)
            assert [f.sha256 for f in found] == [f.sha256 for f in again]


async def test_a_request_is_judged_once_there_are_descriptors_again() -> None:
    program = next(program for program in built_in_programs() if program.id == "hello-world")
    inputs = b'{"iterations":3,"pad":"' + b"x" * 50_000 + b'"}'
    judge = Judge()
    with judge.in_use():
        with no_more_descriptors():
            asked = asyncio.create_task(judge.look(program, inputs))
            await stays(lambda: not asked.done(), 2 * AGAIN_AFTER)
        assert not (await asked).violations
    judge = Judge(room_within=0.1)
    unjudged = pytest.raises(UnavailableError, match="open files")
    with judge.in_use(), no_more_descriptors(), unjudged:
        await judge.look(program, inputs)


def _brought(code: str) -> bytes:
    return as_json({"name": "mine"}, code.encode())


async def test_a_program_is_read_with_what_it_imports() -> None:
    code = "import numpy\ndef main(backend, user_messenger): pass\n"
    judge = Judge()
    with judge.in_use():
        brought = await judge.read_program(_brought(code), whole=True)
        update = await judge.read_program(b'{"cost": 3}', whole=False)

    assert (brought.upload.name, brought.code) == ("mine", code.encode())
    assert [one.module for one in brought.imports] == ["numpy"]
    assert (update.upload.max_execution_time, update.code) == (3, None)


@pytest.mark.parametrize(
    "code",
    [
        "a = 1\n" * 174_000,
        "x = " + "-" * 1_000_000 + "1",
        "x = a" + ".b" * 500_000,
        "x = [" * 90 + "]" * 90 + "\n" + "f(" * 150 + "1" + ")" * 150 + "\n" + "lambda:" * 100_000,
        "(" * 199 + "{" * 3000,
    ],
)
async def test_code_that_would_break_who_reads_it_is_refused_and_the_next_is_read(
    code: str,
) -> None:
    judge = Judge()
    with judge.in_use():
        with pytest.raises(UnreadableError):
            await judge.read_program(_brought(code), whole=True)
        good = await judge.read_program(_brought("def main(a, b): pass"), whole=True)

    assert good.imports == ()

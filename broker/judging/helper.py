"""The process that judges what is not small: `python -m broker.judging.helper FD`.

It may take a while and some memory, and it may die; whoever asked goes on. It ends when its parent
does, and no signal to the group ends it before.
"""

import gc
import os
import re
import resource
import signal
import socket
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from broker.judging.wire import Answer, Question, Wrong, receive, send
from schemas.batches import spans
from schemas.decoding import UnreadableError
from schemas.specification import Findings, Program, parse_specification
from schemas.submits import EMPTY, WrongFieldsError, read_submit
from schemas.values import Violation

ROOM = 512 * 1024 * 1024  # bytes of address space that it may have beyond what it has, and
TIMES = 16  # times what it is asked about: orjson reserves 12, and uses little of that
NICE = 10  # what is large may take a little longer, so that what is small does not
LARGE = 128 * 1024 * 1024  # bytes of memory above which it is replaced


def main() -> None:
    """Answer until the parent hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # JSON has no cycles
    os.nice(NICE)
    with suppress(OSError):  # when memory runs out, this goes before the service
        Path("/proc/self/oom_score_adj").write_text("800")
    connection = socket.socket(fileno=int(sys.argv[1]))
    retires = False
    while not retires and (asked := receive(connection)) is not None:
        question = msgspec.json.decode(asked[0], type=Question)
        answer = _answer(question, asked[1])
        del asked
        retires = _memory("VmHWM") > LARGE
        with suppress(BrokenPipeError):  # nobody may be waiting any more
            send(connection, msgspec.structs.replace(answer, retires=retires), b"")


def _answer(question: Question, data: bytearray) -> Answer:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = _memory("VmSize") + ROOM + TIMES * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
    try:
        if question.kind == "read":
            return _read(data)
        if question.kind == "part":
            return _part(data)
        program = _program(bytes(question.specification))
        return Answer(findings=program.examine(data, circuits=question.circuits))
    except MemoryError:
        text = "to judge it takes more memory than there is"
        return Answer(
            wrong=Wrong("too_large", text),
            findings=Findings((Violation("/params", "memory", "…", text),)),
        )


def _read(data: bytearray) -> Answer:
    try:
        request = read_submit(data)
    except WrongFieldsError as error:
        return Answer(wrong=Wrong(error.code, error.message, error.violations))
    except UnreadableError as error:
        return Answer(wrong=Wrong(error.code, error.message))
    params = memoryview(request.params)
    start = data.find(params)  # -1 for what is not written there
    place = (start, start + len(params)) if start >= 0 else (0, 0)
    return Answer(msgspec.structs.replace(request, params=EMPTY), *place)


def _part(data: bytearray) -> Answer:
    try:
        return Answer(spans=spans(data))
    except UnreadableError as error:
        return Answer(wrong=Wrong(error.code, error.message))


@lru_cache(100)
def _program(specification: bytes) -> Program:
    return Program(parse_specification(specification))


def _memory(name: str) -> int:
    """Bytes of memory of this process, under a name of proc(5); 0 where there is none."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int((re.search(rf"{name}:\s+(\d+)", status) or ["", "0"])[1])


if __name__ == "__main__":
    main()

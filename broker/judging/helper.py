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

from broker.judging.code import read_code
from broker.judging.wire import Answer, Question, Wrong, receive, send
from schemas.batches import spans
from schemas.decoding import UnreadableError
from schemas.specification import Findings, Program, parse_specification
from schemas.submits import EMPTY, WrongFieldsError, read_submit
from schemas.uploads import read_upload
from schemas.values import Violation

ROOM = 512 * 1024 * 1024  # bytes of address space that it may have beyond what it has, and
ROOM_FOR_CODE = 256 * 1024 * 1024  # bytes instead, where a program is read
TIMES = 16  # times what it is asked about: orjson reserves 12, and uses little of that
NICE = 10  # what is large may take a little longer, so that what is small does not
OF_PROGRAMS = ("whole program", "part of a program")
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
        answer, code = _answer(question, asked[1])
        del asked
        retires = _memory("VmHWM") > LARGE
        with suppress(BrokenPipeError):  # nobody may be waiting any more
            send(connection, msgspec.structs.replace(answer, retires=retires), code)


def _answer(question: Question, data: bytearray) -> tuple[Answer, bytes]:
    """What is answered, and the code that it is about."""
    try:
        return _within_memory(question, data)
    except WrongFieldsError as error:
        return Answer(wrong=Wrong(error.code, error.message, error.violations)), b""
    except UnreadableError as error:
        return Answer(wrong=Wrong(error.code, error.message)), b""


def _within_memory(question: Question, data: bytearray) -> tuple[Answer, bytes]:
    """Raises `UnreadableError`."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    room = ROOM_FOR_CODE if question.kind in OF_PROGRAMS else ROOM
    limit = _memory("VmSize") + room + TIMES * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
    try:
        match question.kind:
            case "read":
                return _read(data), b""
            case "part":
                return Answer(spans=spans(data)), b""
            case "look":
                program = _program(bytes(question.specification))
                return Answer(findings=program.examine(data, circuits=question.circuits)), b""
            case "interim" | "final":
                program = _program(bytes(question.specification))
                found = program.examine_result(data, final=question.kind == "final")
                return Answer(findings=Findings(found)), b""
            case _:
                return _read_program(data, whole=question.kind == "whole program")
    except MemoryError:
        text = "to judge it takes more memory than there is"
        answer = Answer(
            wrong=Wrong("too_large", text),
            findings=Findings((Violation("/params", "memory", "…", text),)),
        )
        return answer, b""


def _read(data: bytearray) -> Answer:
    request = read_submit(data)
    params = memoryview(request.params)
    start = data.find(params)  # -1 for what is not written there
    place = (start, start + len(params)) if start >= 0 else (0, 0)
    return Answer(msgspec.structs.replace(request, params=EMPTY), *place)


def _read_program(data: bytearray, *, whole: bool) -> tuple[Answer, bytes]:
    upload, code = read_upload(data, whole=whole)
    if code is None:
        return Answer(upload=upload), b""
    return Answer(upload=upload, imports=read_code(code)), code


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

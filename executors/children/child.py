"""What runs in a child: one attempt after the other, each told to the parent as it goes."""

import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from executors import gpu, memory, runtime_json
from executors.backends import catalogue
from executors.backends.mocks import MockSimulator
from executors.children import posix
from executors.children.asking import Calls
from executors.children.chance import draw_as
from executors.children.frames import MOST_RESULT, Kind, TaskHeader, pack, read_task, receive
from executors.faults import BackendError, InvalidInputsError
from executors.programs import builtin
from executors.programs.authored import loading
from executors.programs.authored.tracebacks import told
from executors.programs.builtin import UnknownProgramError
from executors.sandbox.walls import Walls, die_with_parent, limit_cpu
from schemas.limits import CHECKED_BEFORE
from schemas.normal_form import misfit, normal
from schemas.reports import Raised, Withheld
from schemas.specification import Program
from schemas.values import Reason, Violation
from schemas.workers import BackendAnnounced

MOST_GROWTH = 128 * 1024 * 1024  # bytes; a child that ever held so much more is replaced
MOST_WITH_CUDA = 1024**3  # … if it uses a GPU: CUDA takes a part of it at once, and keeps it
STACKS = 16 * 1024 * 1024  # bytes of address space that threads take for each core, mostly unused
MOST_ATTEMPTS = 10_000  # and so is one that ran as many
IDLE = 5  # ms without a task, after which a new child uses its time to get faster


def describe() -> Sequence[BackendAnnounced]:
    """Make the backends; what they say of themselves."""
    return catalogue.preload()


def preload(programs: Mapping[str, str]) -> None:
    """Import and build, in the fork server, what the built-in programs and *programs* need."""
    builtin.add(programs)
    builtin.preload()


class InvalidResultError(Exception):
    """What a program publishes or returns breaks its own schema; *value* is that, as JSON."""

    def __init__(self, what: str, violations: Sequence[Violation], value: bytes = b"") -> None:
        super().__init__(what)
        self.violations = tuple(violations)
        self.value = value


@dataclass(frozen=True, slots=True)
class Line:
    """To the parent, about one attempt; a thread that outlives it speaks of that one only."""

    connection: socket.socket
    attempt: int

    def tell(self, kind: Kind, payload: bytes = b"") -> None:
        """Say it, in one piece, whoever else speaks."""
        with _one_at_a_time:
            self.connection.sendall(pack(kind, payload, self.attempt))


Check = Callable[[bytes], list[Violation]]
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Messenger:
    """`user_messenger`: takes interim results, and the final one if it is published."""

    line: Line
    program: Program
    faults: list[InvalidResultError]
    final: list[bytes]

    def publish(self, message: Any, encoder: Any = None, final: bool = False) -> None:
        """Publish *message*; *encoder* is taken for the sake of older programs, and not needed."""
        del encoder
        if final:
            self._publish_final(message)
            return
        try:
            value = _checked(message, self.program.check_interim, "interim")
        except InvalidResultError as error:
            withheld = Withheld(str(error), error.violations)
            self.line.tell(Kind.WITHHELD, _text(withheld))
        else:
            self.line.tell(Kind.PUBLISHED, value)

    def _publish_final(self, message: Any) -> None:
        try:
            self.final.append(_checked(message, self.program.check_result, "final"))
        except InvalidResultError as error:
            self.faults.append(error)
            raise


def serve(connection: socket.socket) -> None:
    """Run what comes until the parent hangs up."""
    _keep_to_limit()
    most = posix.peak_memory() + (MOST_WITH_CUDA if gpu.used() else MOST_GROWTH)
    _begin()
    incoming = select.poll()  # who waits in `recv` is woken as well when the parent reads
    incoming.register(connection, select.POLLIN)
    if not incoming.poll(IDLE):
        builtin.warm_up()
    while incoming.poll() and (frame := receive(connection)) is not None:
        line = Line(connection, frame.attempt)
        header, data = read_task(frame.payload)
        kind, end = _attempt(line, header, data)
        is_clean = _flush() and _left_nothing(header.program_id)
        if not is_clean or frame.attempt >= MOST_ATTEMPTS or posix.peak_memory() > most:
            line.tell(Kind.RETIRES)
        with posix.memory_unlimited():
            line.tell(kind, end)


def serve_one(connection: socket.socket, walls: Walls, lifeline: int) -> None:
    """Run the one attempt that comes, behind *walls*; the parent holds the end of *lifeline*."""
    _keep_to_limit()
    _begin()
    walls.close_in()
    frame = receive(connection)
    die_with_parent(lifeline)
    if frame is not None:
        line = Line(connection, frame.attempt)
        header, data = read_task(frame.payload)
        limit_cpu(header.time_limit)
        kind, end = _attempt(line, header, data)
        _flush()
        with posix.memory_unlimited():
            line.tell(kind, end)


def _begin() -> None:
    np.random.seed()  # programs and Qiskit use it; siblings must not draw the same
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _left_nothing(program_id: str) -> bool:
    """Whether the next attempt can be sure to find nothing of this one: no process, and no thread,
    environment, folder, handler, file or module that it has changed. The built-in programs change
    none; of others nobody knows.
    """
    return builtin.is_built_in(program_id) and not posix.has_children()


def _keep_to_limit() -> None:
    """Let what asks for far more than this child may use fail at once.

    The parent watches how much it really holds, and ends it above the limit: allocations that fail
    while there is some left would crash libraries, so half as much again may be asked for.
    CUDA maps far more than it holds, so next to a GPU nothing fails at once.
    """
    if (limit := memory.allowed()) is None or gpu.used() is not None:
        return
    slack = limit // 2 + STACKS * (os.cpu_count() or 1)
    memory.allow(min(limit, posix.limit_memory(limit + slack)))


def _attempt(line: Line, header: TaskHeader, data: bytes) -> tuple[Kind, bytes]:
    """Run one attempt; how it ended."""
    try:
        program = _program(header)
        inputs = _inputs(program, data)
        if header.device is not None:
            catalogue.reach(header.device, Calls(line.connection, line.tell))
            draw_as(header.seed)
        backend = catalogue.backend(header.backend)
        line.tell(Kind.BEGAN)
        if isinstance(backend, MockSimulator):
            sys.stderr.write(backend.notice)
        messenger = Messenger(line, program, [], [])
        value = _main(header)(backend, messenger, **inputs)
        return Kind.RETURNED, _result(messenger, value)
    except InvalidResultError as error:
        raised = Raised(Reason.INVALID_RESULT, str(error), error.violations)
        return Kind.RAISED, _text(raised) + b"\n" + error.value
    except BaseException as error:  # noqa: BLE001  whatever a program raises is its own end only
        return Kind.RAISED, _text(_raised(error))


def _text(body: Raised | Withheld) -> bytes:
    """*body* as JSON, also if its message is no Unicode."""
    text = body.message.encode(errors="backslashreplace").decode()
    return msgspec.json.encode(replace(body, message=text))


def _program(header: TaskHeader) -> Program:
    if header.uploaded is None:
        return builtin.load(header.program_id).program
    return Program(header.uploaded.specification)


def _main(header: TaskHeader) -> Callable[..., Any]:
    if header.uploaded is None:
        return builtin.load(header.program_id).main
    return loading.load(header.uploaded.code, header.uploaded.specification.name)


def _raised(error: BaseException) -> Raised:
    if shortage := _shortage(error):
        posix.lift_memory_limit()  # so that this much can be told
        detail = str(shortage).strip().partition("\n")[0]
        return Raised(Reason.OUT_OF_MEMORY, memory.exceeded(memory.allowed(), detail))
    match error:
        case InvalidInputsError():
            return Raised(Reason.INVALID_INPUTS, str(error), error.violations)
        case BackendError():
            return Raised(Reason.BACKEND_ERROR, str(error))
        case UnknownProgramError():
            return Raised(Reason.UNKNOWN_PROGRAM, str(error))
        case _:
            return Raised(Reason.PROGRAM_ERROR, told(error))


def _shortage(error: BaseException) -> MemoryError | None:
    """What it was that there was no memory for, if that led to *error*."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MemoryError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _inputs(program: Program, data: bytes) -> dict[str, Any]:
    if len(data) > CHECKED_BEFORE and (violations := program.check_parameters(data)):
        raise InvalidInputsError("the inputs break the program's schema", violations)
    schema = program.specification.spec.parameters
    inputs: dict[str, Any] = normal(runtime_json.decode_inputs(data), schema)
    if (name := misfit(inputs, schema)) is not None:
        raise InvalidInputsError(f"{name} must be a plain JSON object")
    return inputs


def _result(messenger: Messenger, value: Any) -> bytes:
    """The final result: what was published as final, else what `main` returned."""
    if messenger.faults:
        raise messenger.faults[0]  # the program went on regardless
    if messenger.final:
        return messenger.final[0]
    return _checked(value, messenger.program.check_result, "final")


@posix.memory_unlimited()  # orjson asks for eight times what a text has, and crashes if refused
def _checked(value: Any, check: Check, name: str) -> bytes:
    """*value* as JSON that keeps to the program's schema; raises `InvalidResultError`."""
    try:
        data = runtime_json.encode(value)
    except runtime_json.NotEncodableError as error:
        wrong = Violation("", "json", type(value).__name__, str(error))
        text = f"the {name} result can not be written as JSON: {error}"
        raise InvalidResultError(text, [wrong]) from error
    if len(data) > MOST_RESULT:
        size, most = memory.told(len(data)), memory.told(MOST_RESULT)
        text = f"the {name} result has {size}, and {most} is the most"
        raise InvalidResultError(text, [Violation("", f"maxBytes: {MOST_RESULT}", size, text)])
    if violations := check(data):
        text = f"the {name} result breaks the program's schema"
        raise InvalidResultError(text, violations, data)
    return data


def _flush() -> bool:
    """Everything written so far is in the pipe before the end is told; whether it could be."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # the program has closed it
        return False
    finally:
        posix.flush_c_streams()
    return True

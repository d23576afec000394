"""Plays back results and faults: an executor for tests, demos and drills that needs no Qiskit."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from executors.base import Stop, Task
from schemas.reports import Began, Body, Died, Logged, Published, Raised, Returned, Stopped
from schemas.workers import BackendAnnounced


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish *value* as an interim result."""

    value: Any


@dataclass(frozen=True, slots=True)
class Write:
    """Write *text* to the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Run on for so many seconds; for ever by default."""

    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Return:
    """End with *value* as the final result."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raise:
    """End as a program that raised."""

    message: str = "Traceback (most recent call last):\nValueError: scripted"
    reason: str = "program_error"
    value: Any = None  # the result that is the reason, if one is


@dataclass(frozen=True, slots=True)
class Die:
    """End as a child that was killed."""

    message: str = "killed by SIGKILL"
    reason: str = "child_died"


@dataclass(frozen=True, slots=True)
class Crash:
    """Raise out of the executor itself, as a bug in it would."""

    message: str = "scripted crash"


Step = Publish | Write | Wait | Return | Raise | Die | Crash


@dataclass(frozen=True, slots=True)
class Script:
    """What an attempt does, step by step; one without an end returns null."""

    steps: tuple[Step, ...] = ()
    begins: bool = True  # whether it says `Began`
    heeds_stop: bool = True  # the time limit ends it in any case


RETURNS = Script((Return("Hello, World!"),))
HANGS = Script((Wait(),))
HANGS_BEFORE_IT_BEGINS = Script((Wait(),), begins=False)
IGNORES_STOP = Script((Wait(),), heeds_stop=False)
DIES = Script((Die(),))
RAISES = Script((Raise(),))
CRASHES = Script((Crash(),))

# The same for every attempt; or one for each, of which the last stays; or what the task asks for.
Scripts = Script | Sequence[Script] | Callable[[Task], Script]


def publishes(count: int, every: float = 0.0, result: Any = "All done!") -> Script:
    """Publishes `{"iteration": 0}`, `{"iteration": 1}` …, *every* so many seconds, and returns."""
    steps: list[Step] = []
    for iteration in range(count):
        if every:
            steps.append(Wait(every))
        steps.append(Publish({"iteration": iteration, "counts": {"00": 512, "11": 512}}))
    return Script((*steps, Return(result)))


def runs_for(seconds: float, result: Any = "Hello, World!") -> Script:
    """Runs for so many seconds and returns."""
    return Script((Wait(seconds), Return(result)))


def drill(task: Task) -> Script:
    """Takes as many seconds as the task's input `iterations` says, and publishes in each of them."""
    inputs = msgspec.json.decode(task.inputs)
    count = inputs.get("iterations", 1) if isinstance(inputs, dict) else 1
    return publishes(count, every=1.0) if isinstance(count, int) else RETURNS


def scripted_backend(
    name: str = "scripted", num_qubits: int = 32, simulator: bool = True
) -> BackendAnnounced:
    """A backend that nothing runs on, described as a real one would be."""
    configuration = {
        "backend_name": name,
        "backend_version": "1.0.0",
        "n_qubits": num_qubits,
        "basis_gates": ["id", "rz", "sx", "x", "cx"],
        "gates": [{"name": "delay", "parameters": ["t"], "qasm_def": "gate delay(t) q {}"}],
        "local": True,
        "simulator": simulator,
        "conditional": False,
        "open_pulse": False,
        "memory": True,
        "max_shots": 1_000_000,
        "coupling_map": None,
        "online_date": "2026-01-01T00:00:00Z",
        "description": "Plays back scripts",
    }
    return BackendAnnounced(
        name=name,
        simulator=simulator,
        num_qubits=num_qubits,
        description="Plays back scripts",
        configuration=msgspec.Raw(msgspec.json.encode(configuration)),
    )


class ScriptedExecutor:
    """Plays the script of the job, else that of its program, else the default one.

    `jobs` and `programs` may be changed while it runs. `begun` lists the tasks that it was given,
    in order; `running` those that have not ended.
    """

    def __init__(
        self,
        default: Scripts = RETURNS,
        *,
        programs: Mapping[str, Scripts] | None = None,
        jobs: Mapping[str, Scripts] | None = None,
        backends: Sequence[BackendAnnounced] = (),
    ) -> None:
        self.default = default
        self.programs = dict(programs or {})
        self.jobs = dict(jobs or {})
        self.begun: list[Task] = []
        self.running: list[Task] = []
        self._backends = tuple(backends) or (scripted_backend(),)
        self._closed = asyncio.Event()

    async def start(self) -> Sequence[BackendAnnounced]:
        """The backends that it was made with."""
        return self._backends

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Play *task*'s script; see `Executor.run`."""
        script = self._script_for(task)
        self.begun.append(task)
        self.running.append(task)
        deadline = asyncio.get_running_loop().time() + task.time_limit
        try:
            if script.begins:
                yield Began()
            for step in script.steps:
                if cut := await self._pause(step, script, stop, deadline):
                    yield cut
                    return
                body = _play(step)
                if body is not None:
                    yield body
                if isinstance(body, (Returned, Raised, Died)):
                    return
            yield Returned(msgspec.Raw(b"null"))
        finally:
            self.running.remove(task)

    async def close(self) -> None:
        """End every attempt: those that wait end as a worker that stops ends them."""
        self._closed.set()

    def _script_for(self, task: Task) -> Script:
        scripts = self.jobs.get(task.job_id) or self.programs.get(task.program_id, self.default)
        if isinstance(scripts, Script):
            return scripts
        if callable(scripts):
            return scripts(task)
        return scripts[min(task.attempt, len(scripts)) - 1]

    async def _pause(
        self, step: Step, script: Script, stop: Stop, deadline: float
    ) -> Stopped | Died | None:
        """Let the time of *step* pass; what ends the attempt before that is over, if anything."""
        seconds = step.seconds if isinstance(step, Wait) else 0.0
        left = deadline - asyncio.get_running_loop().time()
        if seconds > 0:
            await self._any_of(stop, script.heeds_stop, min(seconds, left))
        if stop.reason is not None and script.heeds_stop:
            return Stopped(stop.reason)
        if self._closed.is_set():
            return Died("worker_stopped", "the executor was closed")
        return Stopped("ran_too_long") if seconds >= left else None

    async def _any_of(self, stop: Stop, heeds_stop: bool, seconds: float) -> None:
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._closed.wait())}
        if heeds_stop:
            waits.add(asyncio.ensure_future(stop.wait()))
        try:
            timeout = None if math.isinf(seconds) else max(0.0, seconds)
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _play(step: Step) -> Body | None:
    match step:
        case Publish(value):
            return Published(msgspec.Raw(msgspec.json.encode(value)))
        case Write(text):
            return Logged(text)
        case Wait():
            return None
        case Return(value):
            return Returned(msgspec.Raw(msgspec.json.encode(value)))
        case Raise(message, reason, None):
            return Raised(reason, message)
        case Raise(message, reason, value):
            return Raised(reason, message, (), msgspec.Raw(msgspec.json.encode(value)))
        case Die(message, reason):
            return Died(reason, message)
        case Crash(message):
            raise RuntimeError(message)

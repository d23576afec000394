"""The core of a broker with one device, by hand: a clock that goes on when a test says so."""

import msgspec

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.changes import Instructed
from broker.core.inputs import Reported, SessionAsked, Submitted
from broker.core.orders import Orders
from broker.core.overview import queue_snapshots
from broker.core.roster import Roster
from broker.core.turn import Turn
from broker.core.windows import Windows
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.ledger import InputPosition
from schemas.reports import BEGAN, Body, Report, Returned
from schemas.requests import CancelSession, CloseSession, OpenSession, SubmitJob
from schemas.sessions import Mode, session_key
from schemas.values import JobKey
from schemas.workers import Heartbeat, QueueSnapshot
from tests.support.broker import hello_world

START = 1_800_000_000.0
DEVICE = "device"


class VirtualDevice:
    """A device with *slots*; a simulator of that name if it is none."""

    def __init__(self, slots: int = 1, is_device: bool = True) -> None:
        self.book, self.roster, self.orders = Book(10), Roster(), dict[str, object]()
        self.windows = Windows()
        self.instructed: list[Instructed] = []
        self.now, self._asked, self._reported = 0.0, 0, 0
        turn = self.turn()
        beat = Heartbeat(worker="w", instance="i", slots=slots, backends=(DEVICE,))
        turn.take(beat)
        turn.take(scripted_backend(DEVICE, simulator=not is_device))

    def turn(self) -> Turn:
        orders: Orders = self.orders  # type: ignore[assignment]
        catalogue = Catalogue([hello_world()])
        return Turn(
            self.book,
            self.roster,
            1,
            self.time,
            catalogue,
            orders=orders,
            windows=self.windows,
            instructions=self.instructed,
        )

    @property
    def time(self) -> str:
        return iso(START + self.now)

    # What clients do

    def open(self, name: str, mode: Mode = Mode.DEDICATED, **more: float) -> None:
        """A session of the tenant before the first hyphen of *name*."""
        asked = OpenSession(session_id=name, mode=mode, backend=DEVICE, **more)  # type: ignore[arg-type]
        self._ask_session(name, asked)

    def close(self, name: str) -> None:
        self._ask_session(name, CloseSession(name))

    def cancel(self, name: str) -> None:
        self._ask_session(name, CancelSession(name))

    def _ask_session(self, name: str, body: OpenSession | CloseSession | CancelSession) -> None:
        turn = self.turn()
        key = session_key(_tenant_of(name), name)
        turn.take(SessionAsked(self._position(), key, name, body))
        self._end_of(turn)

    def submit(self, *names: str, session: str | None = None, **more: object) -> None:
        """Jobs, each of the tenant before the first hyphen of its name."""
        turn = self.turn()
        for name in names:
            asked = {"program_id": "hello-world", "backend": DEVICE, "session_id": session} | more
            body = SubmitJob(**asked)  # type: ignore[arg-type]
            turn.take(Submitted(self._position(), JobKey(_tenant_of(name), name), body))
        self._end_of(turn)

    def _position(self) -> InputPosition:
        self._asked += 1
        return InputPosition("requests", 0, self._asked)

    # What the worker does

    def end(self, name: str, after: float = 1.0) -> None:
        """The job, which runs, ends well, so many seconds from now."""
        self.wait(after)
        turn = self.turn()
        self._say(turn, name, 2, Returned(msgspec.Raw(b"1")))
        self._end_of(turn)

    def _say(self, turn: Turn, name: str, number: int, body: Body) -> None:
        attempt = self.book.attempts[JobKey(_tenant_of(name), name)]
        report = Report(
            tenant=attempt.key.tenant,
            job_id=name,
            attempt=attempt.number,
            epoch=attempt.epoch,
            number=number,
            worker="w",
            instance="i",
            time=self.time,
            body=body,
        )
        turn.take(Reported(InputPosition("reports", 0, 0), report))

    # Time

    def wait(self, seconds: float) -> None:
        """So much time passes."""
        self.now += seconds
        self.roster.tick(seconds)
        self.turn().take(Heartbeat(**_beat(self)))
        turn = self.turn()
        turn.tick()
        self._end_of(turn)

    def _end_of(self, turn: Turn) -> None:
        turn.settle()
        while turn.dispatch():
            pass
        told = self.turn()
        for key in list(self.book.attempts):
            if self.book.jobs[key].started is None:
                self._say(told, key.job_id, 1, BEGAN)
        told.settle()

    # What is seen

    @property
    def running(self) -> list[str]:
        """The names of the jobs that run."""
        return [key.job_id for key in self.book.attempts]

    def run_all(self, most: int = 1_000) -> list[str]:
        """Let each job end at once: their names, in order, until none runs."""
        ran: list[str] = []
        while self.running and len(ran) < most:
            ran.append(self.running[0])
            self.end(ran[-1])
        return ran

    def queue(self) -> QueueSnapshot:
        """What everybody is told of the device's queue."""
        orders: Orders = self.orders  # type: ignore[assignment]
        told = queue_snapshots(
            self.book, self.roster, [], orders, windows=self.windows, at=START + self.now
        )
        return next(one for one in told if one.backend == DEVICE)


def _tenant_of(name: str) -> str:
    return name.partition("-")[0]


def _beat(device: VirtualDevice) -> dict[str, object]:
    [worker] = device.roster.workers.values()
    names = tuple(attempt.name for attempt in device.book.attempts_of("w").values())
    slots = worker.pools[0].slots
    facts = {"worker": "w", "instance": "i", "slots": slots, "backends": (DEVICE,)}
    return facts | {"attempts": names, "running": len(names)}

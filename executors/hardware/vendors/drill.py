"""A device that behaves badly, for drills: it keeps books of what it was asked for and paid.

`executors.hardware.vendors.drill:device`, with the variable `DRILL`: a `Manners` as JSON. What it
has taken stands in a file, so that it outlives every process, and can be counted.
"""

import io
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
from qiskit import QuantumCircuit, qpy
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, Target

from executors.backends.aer import ideal
from executors.backends.described import Outcomes
from executors.backends.devices import BASIS
from executors.hardware.said import SAME_JOB, AwayError, CanNotSayError, LostError, Meter
from executors.hardware.vendors.vendor import Phase, Status

QUBITS = 5
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL, circuits BLOB NOT NULL, shots INTEGER NOT NULL,
  taken REAL NOT NULL, queue REAL NOT NULL, cancelled REAL
);
CREATE TABLE IF NOT EXISTS calibrations (id INTEGER PRIMARY KEY, ended REAL NOT NULL);
CREATE TABLE IF NOT EXISTS asked (verb TEXT PRIMARY KEY, times INTEGER NOT NULL);
"""


class Manners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the device behaves. Of what it does *every* so many times: 0 is never."""

    books: str  # file
    queue: float = 0.0  # s that a job waits there
    sessions: bool = False  # the later calls of a program go on without waiting
    runs: float = 0.0  # s that a job runs
    lose_every: int = 0  # submits that are taken, and their answer lost
    busy_every: int = 0  # requests that are answered with 429
    odd_every: int = 0  # looks at a job that are answered with a status which nobody knows
    maintenance: str = ""  # while there is a file of that name, nothing is answered
    drifts_every: float = 0.0  # s after which it is calibrated anew
    calibrates_for: float = 0.0  # s that it takes to be calibrated on demand
    finds: bool = True  # jobs by their tag
    tokens: bool = False  # a tag that it knows makes no second job
    costs: float = 1.0  # for a job that has begun to run


class DrillDevice:
    """Five qubits in a line; what circuits measure is simulated without noise."""

    description = "A device that behaves badly, for drills"

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._books = apsw.Connection(manners.books)
        self._books.set_busy_timeout(10_000)
        self._books.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        self._books.execute(_SCHEMA)

    def target(self) -> Target:
        """Other errors after each calibration."""
        coupling = CouplingMap.from_line(QUBITS)
        model = GenericBackendV2(
            QUBITS, basis_gates=list(BASIS), coupling_map=coupling, seed=1 + self._drifted()
        )
        return model.target

    def calibration(self) -> str | None:
        """Its number."""
        return f"drill-{self._drifted()}"

    def calibrated(self) -> datetime | None:
        """When it drifted or was calibrated last; None if it never did."""
        every = self._manners.drifts_every
        _, ended = self._calibrations()
        last = max(ended, time.time() // every * every if every else 0.0)
        return datetime.fromtimestamp(last, UTC) if last else None

    def calibrate(self) -> None:
        """It takes as long as it takes."""
        self._asked("calibrate")
        time.sleep(self._manners.calibrates_for)
        self._books.execute("INSERT INTO calibrations (ended) VALUES (?)", (time.time(),))

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """Take it, and perhaps say nothing."""
        times = self._asked("submit")
        known = self._known(tag) if self._manners.tokens else None
        number = known if known is not None else self._take(circuits, options, tag)
        if self._manners.lose_every and times % self._manners.lose_every == 0:
            raise LostError("the connection was cut after the request was sent")
        return str(number)

    def status(self, vendor_job_id: str) -> Status:
        """By the clock."""
        times = self._asked("status")
        if self._manners.odd_every and times % self._manners.odd_every == 0:
            return Status(Phase.WAITS, "recalibrating the flux capacitor")
        begins, cancelled = self._job(vendor_job_id)
        if cancelled is not None:
            return Status(Phase.CANCELLED, "cancelled")
        since = time.time() - begins
        if since < 0:
            return Status(Phase.WAITS, "queued")
        is_done = since >= self._manners.runs
        return Status(Phase.DONE, "done") if is_done else Status(Phase.WAITS, "running")

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        """The same, however often it is asked for."""
        self._asked("result")
        query = "SELECT circuits, shots FROM jobs WHERE id = ?"
        data, shots = next(self._books.execute(query, (int(vendor_job_id),)))
        circuits = qpy.load(io.BytesIO(data))
        seed = int(vendor_job_id)
        found = ideal().run(circuits, shots=shots, memory=True, seed_simulator=seed).result()
        return [
            Outcomes(dict(one.data.counts), shots, tuple(one.data.memory)) for one in found.results
        ]

    def meter(self, vendor_job_id: str) -> Meter:
        """What has begun to run is paid."""
        begins, cancelled = self._job(vendor_job_id)
        ran = (cancelled or time.time()) - begins
        seconds = min(max(ran, 0.0), self._manners.runs)
        return Meter(seconds, self._manners.costs if ran >= 0 else 0.0, "EUR")

    def cancel(self, vendor_job_id: str) -> None:
        """What has ended has ended."""
        self._asked("cancel")
        update = (
            "UPDATE jobs SET cancelled = ?1"
            " WHERE id = ?2 AND cancelled IS NULL AND taken + queue + ?3 > ?1"
        )
        self._books.execute(update, (time.time(), int(vendor_job_id), self._manners.runs))

    def find(self, tag: str) -> str | None:
        """Where it can."""
        if not self._manners.finds:
            raise CanNotSayError("this device can not be asked for jobs by a tag")
        self._asked("find")
        known = self._known(tag)
        return None if known is None else str(known)

    def _asked(self, verb: str) -> int:
        """How often it was, with this time. Raises `AwayError`."""
        if self._manners.maintenance and Path(self._manners.maintenance).exists():
            raise AwayError("503: the device is being maintained")
        upsert = (
            "INSERT INTO asked VALUES (?, 1) ON CONFLICT (verb) DO UPDATE SET times = times + 1"
            " RETURNING times"
        )
        every = self._manners.busy_every
        (total,) = next(self._books.execute(upsert, ("all",)))
        if every and total % every == 0:
            raise AwayError("429: too many requests")
        (times,) = next(self._books.execute(upsert, (verb,)))
        return int(times)

    def _take(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> int:
        data = io.BytesIO()
        qpy.dump(list(circuits), data)
        insert = (
            "INSERT INTO jobs (tag, circuits, shots, taken, queue) VALUES (?, ?, ?, ?, ?)"
            " RETURNING id"
        )
        shots, now = int(options.get("shots", 1024)), time.time()
        values = tag, data.getvalue(), shots, now, self._queue_of(tag, now)
        (number,) = next(self._books.execute(insert, values))
        return int(number)

    def _queue_of(self, tag: str, now: float) -> float:
        """Seconds that a job with that *tag* waits."""
        query = "SELECT 1 FROM jobs WHERE substr(tag, 1, ?) = ? AND taken + queue <= ? LIMIT 1"
        job = tag[:SAME_JOB]
        goes_on = self._manners.sessions and next(
            self._books.execute(query, (len(job), job, now)), None
        )
        return 0.0 if goes_on else self._manners.queue

    def _known(self, tag: str) -> int | None:
        rows = self._books.execute("SELECT min(id) FROM jobs WHERE tag = ?", (tag,))
        (number,) = next(rows)
        return None if number is None else int(number)

    def _job(self, vendor_job_id: str) -> tuple[float, float | None]:
        """When it begins, if it is not cancelled before, and when it was cancelled."""
        query = "SELECT taken + queue, cancelled FROM jobs WHERE id = ?"
        found = next(self._books.execute(query, (vendor_job_id,)), None)
        if found is None:
            raise CanNotSayError(f"there is no job {vendor_job_id[:60]}")
        begins, cancelled = found
        return float(begins), cancelled

    def _drifted(self) -> int:
        every = self._manners.drifts_every
        times, _ = self._calibrations()
        return times + (int(time.time() / every) % 1_000_000 if every else 0)

    def _calibrations(self) -> tuple[int, float]:
        """How many there were, and when the last one ended."""
        rows = self._books.execute("SELECT count(*), coalesce(max(ended), 0) FROM calibrations")
        times, ended = next(rows)
        return int(times), float(ended)


def device() -> DrillDevice:
    """The one that the variable `DRILL` describes. Raises `msgspec.ValidationError`."""
    return DrillDevice(msgspec.json.decode(os.environ["DRILL"], type=Manners))

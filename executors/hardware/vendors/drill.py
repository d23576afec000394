"""A device that behaves badly, for drills: it keeps books of what it was asked for and paid.

`executors.hardware.vendors.drill:device`, with the variable `DRILL`: a `Manners` as JSON. What it
has taken stands in a file, so that it outlives every process, and can be counted.
"""

import io
import os
import time
from collections.abc import Mapping, Sequence
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
from executors.hardware.said import AwayError, CanNotSayError, LostError, Meter
from executors.hardware.vendors.vendor import Phase, Status

QUBITS = 5
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL, circuits BLOB NOT NULL, shots INTEGER NOT NULL,
  taken REAL NOT NULL, cancelled REAL
);
CREATE TABLE IF NOT EXISTS asked (verb TEXT PRIMARY KEY, times INTEGER NOT NULL);
"""


class Manners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the device behaves. Of what it does *every* so many times: 0 is never."""

    books: str  # file
    queue: float = 0.0  # s that a job waits there
    runs: float = 0.0  # s that a job runs
    lose_every: int = 0  # submits that are taken, and their answer lost
    busy_every: int = 0  # requests that are answered with 429
    odd_every: int = 0  # looks at a job that are answered with a status which nobody knows
    maintenance: str = ""  # while there is a file of that name, nothing is answered
    drifts_every: float = 0.0  # s after which it is calibrated anew
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
        taken, cancelled = self._job(vendor_job_id)
        if cancelled is not None:
            return Status(Phase.CANCELLED, "cancelled")
        since = time.time() - taken
        if since < self._manners.queue:
            return Status(Phase.WAITS, "queued")
        is_done = since >= self._manners.queue + self._manners.runs
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
        taken, cancelled = self._job(vendor_job_id)
        ran = (cancelled or time.time()) - taken - self._manners.queue
        seconds = min(max(ran, 0.0), self._manners.runs)
        return Meter(seconds, self._manners.costs if ran >= 0 else 0.0, "EUR")

    def cancel(self, vendor_job_id: str) -> None:
        """What has ended has ended."""
        self._asked("cancel")
        ends = time.time() - self._manners.queue - self._manners.runs
        update = "UPDATE jobs SET cancelled = ? WHERE id = ? AND cancelled IS NULL AND taken > ?"
        self._books.execute(update, (time.time(), int(vendor_job_id), ends))

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
        insert = "INSERT INTO jobs (tag, circuits, shots, taken) VALUES (?, ?, ?, ?) RETURNING id"
        shots = int(options.get("shots", 1024))
        (number,) = next(self._books.execute(insert, (tag, data.getvalue(), shots, time.time())))
        return int(number)

    def _known(self, tag: str) -> int | None:
        rows = self._books.execute("SELECT min(id) FROM jobs WHERE tag = ?", (tag,))
        (number,) = next(rows)
        return None if number is None else int(number)

    def _job(self, vendor_job_id: str) -> tuple[float, float | None]:
        query = "SELECT taken, cancelled FROM jobs WHERE id = ?"
        found = next(self._books.execute(query, (vendor_job_id,)), None)
        if found is None:
            raise CanNotSayError(f"there is no job {vendor_job_id[:60]}")
        taken, cancelled = found
        return float(taken), cancelled

    def _drifted(self) -> int:
        every = self._manners.drifts_every
        return int(time.time() / every) % 1_000_000 if every else 0


def device() -> DrillDevice:
    """The one that the variable `DRILL` describes. Raises `msgspec.ValidationError`."""
    return DrillDevice(msgspec.json.decode(os.environ["DRILL"], type=Manners))

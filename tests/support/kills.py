"""A system whose processes are killed at each step of calls to its devices, and what becomes of jobs."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.awaiting import eventually
from tests.support.circuits import BELL_3
from tests.support.cli import run
from tests.support.load import page_of_events, submit
from tests.support.processes import Process
from tests.support.streams import history_is_sound
from tests.support.striking import (
    BROKER,
    SILENT,
    STEPS,
    TELLS,
    VICTIMS,
    WORKER,
    Orders,
    orders_beside,
)
from tests.support.systems import System, announced, embedded_roles, kafka_system

WITHIN = 60.0  # s for another broker, a lease, a worker with its devices, and the job


@dataclass(frozen=True, slots=True)
class Kill:
    """Whom to kill when, amid a call to which device."""

    step: str
    moment: str
    victim: str
    device: str = TELLS

    def __str__(self) -> str:
        return f"{self.victim} {self.moment}, {self.device}"


def kills(device: str) -> list[Kill]:
    """Every victim at every moment of every step."""
    return [
        Kill(step, moment, victim, device)
        for step, moments in STEPS.items()
        for moment in moments
        for victim in VICTIMS
    ]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a job amid which somebody was killed."""

    job_id: str
    has_struck: bool
    events: Sequence[dict[str, Any]]
    paid: Sequence[str]  # ids of what the vendor has taken and is paid for

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]

    @property
    def parked(self) -> int:
        """How often."""
        return self.kinds.count("parked")

    def check(self) -> None:
        """It ended once, as it should, and by the vendor's books it was paid once."""
        history_is_sound(self.events)
        assert self.has_struck, self.kinds
        assert self.kinds[-1] == "completed", self.events[-1]
        ids = {event["vendor_job_id"] for event in self.events if "vendor_job_id" in event}
        assert len(self.paid) == 1, (self.paid, self.kinds)
        assert ids == set(self.paid), (ids, self.paid)


@dataclass
class Drill:
    """*system*, with two devices whose vendor has its books in *books*; *log*: how operators reach it."""

    system: System
    books: Path
    log: dict[str, str]
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = self.system.urls[0]
        self._orders = Orders(orders_beside(self.books))
        broker, worker = (self._process(name) for name in (BROKER, WORKER))
        broker.module, broker.arguments = (
            "tests.support.striking",
            (str(orders_beside(self.books)),),
        )
        devices = (
            f"{it}=tests.support.striking_device:{it}?env={it.upper()}" for it in (TELLS, SILENT)
        )
        worker.environment = {
            **worker.environment,
            "QJB_BACKENDS": ",".join(devices),
            "TELLS": str(self.books),
            "SILENT": str(self.books),
        }

    def _process(self, role: str) -> Process:
        return self.system.processes[f"{role}-1"]

    async def start(self) -> None:
        """Start every process, the broker first: others join its log."""
        processes = self.system.processes
        processes[f"{BROKER}-1"].start()
        if (folder := self.log.get("QJB_DATA")) and "QJB_LOG" not in self.log:
            await eventually((Path(folder) / "log.db.sock").exists)
        for process in processes.values():
            if process.running is None:
                process.start()
        await self.system.ready()

    async def carry_out(self, kill: Kill, job_id: str) -> Found:
        """Have a job run with one call, kill whom *kill* says, and see the job to its end."""
        before = set(self._taken())
        async with aiohttp.ClientSession() as http:
            await announced(self.url, kill.device, WITHIN)
            victim = self._process(kill.victim if kill.victim == BROKER else WORKER)
            self._orders.give(kill.moment, kill.victim, victim.pid)
            params = {"circuits": BELL_3, "run_config": {"shots": 10}}
            job = {"program_id": "sampler", "backend": kill.device, "params": params}
            await submit(http, [self.url], {"job_id": job_id, **job})
            if kill.victim in (BROKER, WORKER):
                assert victim.running is not None
                await asyncio.to_thread(victim.running.wait, WITHIN)
                victim.start()
            events = await self._stands_still(http, job_id)
            while events[-1]["kind"] == "parked":
                await self._resolve(job_id, events[-1]["tag"])
                events = await self._stands_still(http, job_id, but=events[-1]["seq"])
        paid = sorted(set(self._taken()) - before)
        return Found(job_id, not self._orders.stands(), events, paid)

    async def _stands_still(
        self, http: aiohttp.ClientSession, job_id: str, but: int = 0
    ) -> list[dict[str, Any]]:
        """The history, once the job has ended or is parked, by an event after that one."""

        async def found() -> list[dict[str, Any]]:
            try:
                events = await page_of_events(http, self.url, job_id)
            except AssertionError:  # the gateway has lost its log for a while
                return []
            last = events[-1] if events else {"seq": 0}
            stands = last["seq"] > but and (last["terminal"] or last["kind"] == "parked")
            return events if stands else []

        return await eventually(found, WITHIN)

    async def _resolve(self, job_id: str, tag: str) -> None:
        """As an operator does, who looks into the vendor's books for the call."""

        async def is_listed() -> bool:
            listed = await asyncio.to_thread(run, "parked", "list", "--json", **self.log)
            return job_id in listed.stdout

        await eventually(is_listed, WITHIN)
        found = [ident for ident, of in self._taken().items() if of == tag]
        said = ("--vendor-job-id", found[0]) if found else ("--submit-again",)
        done = await asyncio.to_thread(run, "parked", "resolve", job_id, *said, **self.log)
        assert done.returncode == 0, done.stderr

    def _taken(self) -> dict[str, str]:
        """What the vendor has taken, each to be paid: the tag by the id."""
        if not self.books.exists():
            return {}
        with closing(sqlite3.connect(self.books, timeout=30)) as db:
            return {str(ident): tag for ident, tag in db.execute("SELECT id, tag FROM jobs")}


def on_embedded_log(folder: Path) -> Drill:
    """Broker, worker and gateway, each a process, on the log of the broker."""
    system = embedded_roles(folder)
    return Drill(system, folder / "books", {"QJB_DATA": str(folder / "broker")})


def on_kafka(folder: Path, bootstrap: str, prefix: str) -> Drill:
    """The same on Kafka."""
    system = kafka_system(folder, bootstrap, prefix, of_each=1)
    log = {"QJB_LOG": f"kafka://{bootstrap}", "QJB_TOPIC_PREFIX": prefix, "QJB_DATA": str(folder)}
    return Drill(system, folder / "books", log)

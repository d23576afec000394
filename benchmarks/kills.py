"""Kills amid calls to devices: what became of the jobs, and how often the device was paid.

`python -m benchmarks.kills [--rounds N] [--kafka]`. Each round kills each of four processes (that
in which the program runs, that of the device, the worker, the broker) at ten moments of a call, amid a
job of its own, with SIGKILL. Every second round is at a device whose vendor can not be asked for a
call by its tag. What was paid is read in the vendor's books.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common import kafka_node, machine
from tests.support.kills import Drill, Found, Kill, kills, on_embedded_log, on_kafka
from tests.support.striking import SILENT, STEPS, TELLS, VICTIMS

Done = dict[tuple[str, str], list[Found]]  # by step and victim


async def carried_out(drill: Drill, planned: Iterable[Kill]) -> tuple[Done, int]:
    """What became of each, and how many were not as they should."""
    done, wrong = defaultdict[tuple[str, str], list[Found]](list), 0
    await drill.start()
    try:
        for number, kill in enumerate(planned, 1):
            began = time.monotonic()
            found = await drill.carry_out(kill, f"job-{number}")
            done[kill.step, kill.victim].append(found)
            said = "as it should"
            try:
                found.check()
            except AssertionError as error:
                wrong += 1
                said = f"WRONG: {error}"
            print(f"{number} {kill}: {time.monotonic() - began:.1f} s, {said}", flush=True)
    finally:
        drill.system.stop()
    return done, wrong


def table(done: Done) -> str:
    """Each step and victim: killed, ended, parked, paid."""
    rows = ["| Step | Killed | Times | Jobs that ended once | of those parked first | Paid |"]
    rows.append("|---|---|--:|--:|--:|--:|")
    for step in STEPS:
        rows += [_row(step, victim, done[step, victim]) for victim in VICTIMS]
    rows.append(_row("all", "", [found for each in done.values() for found in each]))
    return "\n".join(rows)


def _row(step: str, victim: str, found: list[Found]) -> str:
    ended = sum(each.kinds.count("completed") for each in found)
    parked = sum(each.parked > 0 for each in found)
    struck = sum(each.has_struck for each in found)
    paid = sum(len(each.paid) for each in found)
    return f"| {step} | {victim} | {struck} | {ended} | {parked} | {paid} |"


async def run(rounds: int, bootstrap: str = "") -> int:
    """Kill and print; how many were not as they should."""
    planned = [kill for n in range(rounds) for kill in kills(SILENT if n % 2 else TELLS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        drill = on_kafka(path, bootstrap, "kills.") if bootstrap else on_embedded_log(path)
        done, wrong = await carried_out(drill, planned)
    print(table(done))
    print(f"{len(planned)} kills, {wrong} not as they should be")
    return wrong


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of 40 kills each; by default 5")
    parser.add_argument("--kafka", action="store_true", help="on Kafka, each role a process")
    asked = parser.parse_args()
    print(machine())
    if not asked.kafka:
        sys.exit(asyncio.run(run(asked.rounds)) > 0)
    with kafka_node() as cluster:
        sys.exit(asyncio.run(run(asked.rounds, cluster.bootstrap)) > 0)


if __name__ == "__main__":
    main()

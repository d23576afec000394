"""What good jobs notice of each poison among them, beside the same jobs without one.

    python -m benchmarks.poison [--kafka] [--times 3] [--only NAME]

200 small jobs are asked for, all at once and then at a steady rate, in turns without anything and
with a poison in their middle. The ratio is of the medians of the p99s.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.common import kafka_node, line, machine, percentile, running
from tests.support.poisons import (
    AT_ONCE,
    ON_KAFKA,
    POISONS,
    STEADY,
    Place,
    good_jobs,
    place_of,
    quiet,
    thrower,
)
from tests.support.systems import System, embedded_system, hanging_store, kafka_system


async def main(kafka: bool, times: int, wanted: str) -> None:
    print(machine())
    for name in POISONS | ON_KAFKA if kafka else POISONS:
        if wanted not in name:
            continue
        async with _system(kafka) as system, place_of(system) as place:
            await good_jobs(place)
            print(f"\n{name}")
            await _compare(name, place, times, AT_ONCE)
            await _compare(name, place, times, STEADY)


@contextlib.asynccontextmanager
async def _system(kafka: bool) -> AsyncIterator[System]:
    """A system whose blob store hangs: nothing but one of the poisons asks for it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"slots": "2", "log_level": "warning"}
        if kafka:
            bootstrap = stack.enter_context(kafka_node()).bootstrap
            system = kafka_system(folder, bootstrap, of_each=1, **settings)
        else:
            system = embedded_system(folder, **settings)
        system.use(stack.enter_context(hanging_store()))
        async with running(system):
            yield system


async def _compare(name: str, place: Place, times: int, rate: float) -> None:
    without, among = [], []
    async with thrower(place, name) as throw:
        for _ in range(times):
            without.append((await good_jobs(place, rate=rate)).seconds)
            among.append((await good_jobs(place, throw, rate=rate)).seconds)
            await quiet(place)
    how = "at once" if rate == AT_ONCE else f"{rate:.0f}/s"
    print(line(f"{how}, without", [second for run in without for second in run]))
    print(line(f"{how}, with it", [second for run in among for second in run]))
    p99s = [statistics.median(percentile(run, 0.99) for run in runs) for runs in (without, among)]
    print(
        f"p99 {p99s[0] * 1e3:.1f} → {p99s[1] * 1e3:.1f} ms: × {p99s[1] / p99s[0]:.2f}", flush=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default="", help="poisons whose name has this in it")
    asked = parser.parse_args()
    asyncio.run(main(asked.kafka, asked.times, asked.only))

"""Every row of the table, in a fixed order: `python -m benchmarks [--quick] [NAME …]`.

Prints what each script prints, and the table at the end. `--quick` shows that all of it runs, in a
few seconds each; its figures are worth nothing. With names, only those rows.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import bell, busy, cancel, dramatiq_redis, fanout, latency, rest, throughput, vqe
from benchmarks.common import Row, machine
from benchmarks.load import Load


@dataclass(frozen=True)
class Extent:
    """How much of each is measured."""

    seconds: float  # of load
    jobs: int  # at least, of those that show that it is flat
    times: int  # one at a time
    cancels: int
    rounds: int
    subscribers: int


WHOLE = Extent(seconds=60, jobs=100_000, times=500, cancels=40, rounds=3, subscribers=1000)
QUICK = Extent(seconds=1.5, jobs=0, times=20, cancels=2, rounds=1, subscribers=50)

ROWS: dict[str, Callable[[Extent], Awaitable[list[Row]]]] = {}


def row(
    found: Callable[[Extent], Awaitable[list[Row]]],
) -> Callable[[Extent], Awaitable[list[Row]]]:
    """One to run, by its function's name."""
    ROWS[found.__name__] = found
    return found


@row
async def single(extent: Extent) -> list[Row]:
    return [await throughput.on_disk_log(Load(extent.seconds, jobs=extent.jobs))]


@row
async def gateways(extent: Extent) -> list[Row]:
    load = Load(extent.seconds, jobs=extent.jobs)
    return [await throughput.on_disk_log(load, gateways=1)]


@row
async def batches(extent: Extent) -> list[Row]:
    load = Load(extent.seconds, batch=100, ahead=2000, clients=8)
    return [await throughput.on_disk_log(load, gateways=1)]


@row
async def kafka(extent: Extent) -> list[Row]:
    return [await throughput.on_one_node(Load(extent.seconds))]


@row
async def one(extent: Extent) -> list[Row]:
    return await latency.on_disk_log(extent.times)


@row
async def simulations(extent: Extent) -> list[Row]:
    return [await busy.on_disk_log(extent.times)]


@row
async def clients(extent: Extent) -> list[Row]:
    return await rest.on_disk_log(extent.times)


@row
async def bells(extent: Extent) -> list[Row]:
    return [await bell.on_disk_log(extent.seconds / 3)]


@row
async def cancels(extent: Extent) -> list[Row]:
    return [await cancel.on_disk_log(extent.cancels)]


@row
async def programs(extent: Extent) -> list[Row]:
    return [await vqe.on_disk_log(5 * extent.cancels, 2 * extent.rounds - 1)]


@row
async def streams(extent: Extent) -> list[Row]:
    seconds = extent.seconds / 10
    alone = fanout.Load(extent.subscribers, 0, seconds, rate=20, fill=200)
    return await asyncio.to_thread(fanout.rows, alone, extent.rounds)


@row
async def dramatiq(extent: Extent) -> list[Row]:
    return await dramatiq_redis.rows(extent.seconds / 3, 20 * extent.times, extent.times)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    print(machine())
    found: list[Row] = []
    for name, measure in ROWS.items():
        if not asked.names or name in asked.names:
            found += await measure(QUICK if asked.quick else WHOLE)
    print("\n| Measured | Wanted | Figure | Reference in the same run |\n|---|---|---|---|")
    print(*found, sep="\n")


if __name__ == "__main__":
    asyncio.run(main())

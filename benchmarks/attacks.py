"""What an honest client notices of each attack on memory, beside the same client alone.

    python -m benchmarks.attacks [--jobs 100]

Small jobs run one after the other, first alone, then while somebody sends what is to exhaust the
machine; the service in a control group of 4 GiB, where one can be made, and the attacker in a
process of its own. The ratio is of the p99s.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.common import line, machine, percentile
from tests.support.attacks import ATTACKS, MIB, PATIENCE, Attack, Honest, beside, honest
from tests.support.attacks import memory_group as group_of
from tests.support.systems import System, embedded_system

SECONDS = 15  # of each attack, at least


async def main(jobs: int) -> None:
    print(machine())
    for name in ATTACKS:
        with group_of(4096 * MIB) as group, tempfile.TemporaryDirectory() as directory:
            system = embedded_system(Path(directory), log_level="warning")
            system.processes["up"].group = group
            try:
                await system.start()
                await _compare(name, system, jobs)
            finally:
                system.stop()


async def _compare(name: str, system: System, jobs: int) -> None:
    url, process = system.urls[0], system.processes["up"]
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        await honest(url, http, lambda n: n >= 20)
        alone = await honest(url, http, lambda n: n >= jobs)
        found, most = await beside(_elsewhere(name), url, process.pid, http)
        _tell(name, alone, found, most)


def _elsewhere(name: str) -> Attack:
    async def attacks(url: str, _http: aiohttp.ClientSession) -> None:
        spawn = multiprocessing.get_context("spawn")
        attacker = spawn.Process(target=_attack, args=(name, url))
        attacker.start()
        await asyncio.to_thread(attacker.join)
        assert attacker.exitcode == 0, name

    return attacks


def _attack(name: str, url: str) -> None:
    asyncio.run(_again_and_again(name, url))


async def _again_and_again(name: str, url: str) -> None:
    until = time.monotonic() + SECONDS
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        while time.monotonic() < until:
            await ATTACKS[name](url, http)


def _tell(name: str, alone: Honest, found: Honest, most: float) -> None:
    print(f"\n{name}")
    print(line("alone", alone.seconds))
    print(line("beside the attack", found.seconds))
    ratio = percentile(found.seconds, 0.99) / percentile(alone.seconds, 0.99)
    again = sum(attempt != 1 for attempt in found.attempts)
    print(f"p99 × {ratio:.2f}; the service held at most {most:.0f} MiB; {again} jobs retried")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    asyncio.run(main(parser.parse_args().jobs))

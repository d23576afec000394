"""Submit → result of a Bell circuit over the Runtime REST API: raw, and by today's stock client.

`python -m benchmarks.rest [--times N]`. Raw is `POST /jobs` and then `GET …/results` until it is
there, on one connection; every job is on the disk before it is acknowledged. The client is in an
environment of its own, and looks every 100 ms, which is the most often that it can.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

from benchmarks.client import Connection, get, post
from benchmarks.common import BELL_JOB, Row, bare_aer, embedded, line, machine, quantiles
from tests.support.environments import environment, output
from tests.support.systems import System

CLIENT = "qiskit-ibm-runtime==0.51.0"
PAUSE = 0.0005  # s between looks whether the result is there


async def raw(system: System, times: int) -> list[float]:
    """Seconds from submit to result, one job at a time."""
    connection = await Connection.to(system.urls[0])
    took = []
    for number in range(times + 50):
        job_id = f"rest-{number}"
        began = time.perf_counter()
        await connection.ask(post("/jobs", {**BELL_JOB, "job_id": job_id}))
        while not await connection.ask(get(f"/jobs/{job_id}/results")):
            await asyncio.sleep(PAUSE)
        if number >= 50:
            took.append(time.perf_counter() - began)
    connection.close()
    return took


async def stock(system: System, times: int) -> tuple[list[float], list[float]]:
    """Seconds in which the client has submitted, and has the result."""
    python = await asyncio.to_thread(environment, "runtime", CLIENT)
    url = system.urls[0]
    variables = dict.fromkeys(("IAM_URL", "GLOBAL_SEARCH_URL", "GLOBAL_CATALOG_URL"), url)
    variables |= {"QISKIT_IBM_URL": f"{url}/experimental", "QISKIT_IBM_TOKEN": "any"}
    script = Path(__file__).with_name("stock_bell.py")
    said = await asyncio.to_thread(output, python, script, str(times), **variables)
    found = json.loads(said)
    return [submitted for submitted, _ in found], [done for _, done in found]


async def on_disk_log(times: int) -> list[Row]:
    """The rows of `qjb up`."""
    async with embedded() as system:
        plain = await raw(system, times)
        submitted, done = await stock(system, max(5, times // 10))
    aer = await asyncio.to_thread(bare_aer, times=times)
    print(line("raw", plain), line("client submits", submitted), line("client", done), sep="\n")
    reference = f"Aer alone {quantiles(aer)}"
    return [
        Row(
            "Bell, submit → result by raw REST, durable", "≤ 10 ms p50", quantiles(plain), reference
        ),
        Row(
            "Bell, submit → result by the stock client",
            "is told",
            quantiles(done),
            f"of that, it has submitted after {quantiles(submitted)}",
        ),
    ]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=300)
    asked = parser.parse_args()
    print(machine())
    print(*await on_disk_log(asked.times), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())

"""`qjb demo`: everything in one process, and a first job before the user's eyes."""

import tempfile
from pathlib import Path

import click

from broker.cli import histogram, show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.jobs import show_events
from broker.cli.options import Address, invocation, run, seconds_since_start
from broker.cli.output import Coloured, say
from broker.settings.role import EVERYTHING
from broker.settings.settings import Settings, load
from broker.starting import started
from broker.telemetry import logging

SHOTS = 1024
BELL = """\
OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
cx q[0], q[1];
c = measure q;
"""


@click.command()
def demo() -> None:
    """Start everything in one process, run a Bell circuit and show what happens to it.

    Leaves nothing behind: data are in a temporary folder, the port is any free one.
    """
    logging.configure("error", "auto")
    with tempfile.TemporaryDirectory(prefix="qjb-demo-") as folder:
        settings = load(
            {"data": Path(folder), "log": f"sqlite:///{folder}/log.db", "blobs": f"{folder}/blobs"}
            | {"host": "127.0.0.1", "port": 0, "slots": 1, "grace": 0.0, "stream_drain": 0.0}
        )
        run(_demo(settings))


async def _demo(settings: Settings) -> Exit:
    say("Starting a broker, a worker and a gateway in this process …")
    async with started(settings, EVERYTHING) as serving:
        assert serving.url is not None
        say(f"They are ready after {seconds_since_start():.1f} s, at {serving.url}\n")
        say(Coloured(BELL, "bright_black"))
        say(f"Submitting this Bell circuit to the program `sampler`, {SHOTS} shots:\n")
        async with Client(Address(serving.url)) as client:
            params = {"circuits": BELL, "run_config": {"shots": SHOTS}}
            answer = await client.submit({"program_id": "sampler", "params": params})
            job_id = str(answer["id"])
            say(f"job {job_id}")
            status, result = await show_events(client, job_id, as_json=False)
    for counts in histogram.in_result(result):
        show.bars(counts)
    if status is Exit.DONE:
        say(_next_steps(invocation()))
    return status


def _next_steps(qjb: str) -> str:
    return f"""
That was a whole round: request, queue, child process, events, result. Next:

  {qjb} up                                             serve on http://127.0.0.1:8080
  {qjb} submit hello-world -i iterations=20 --watch    in another terminal
  {qjb} --help                                         what else there is
"""

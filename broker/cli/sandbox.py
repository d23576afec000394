"""The command that tries what the sandbox for uploaded programs holds on this host."""

import subprocess
import sys

import click
import msgspec

from broker.cli.exits import Exit
from broker.cli.output import say, say_json_text
from broker.settings.settings import load
from executors.sandbox.check import Report


@click.command(name="sandbox-check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Try what the sandbox for uploaded programs holds on this host.

    Exit status 0 if it is as good as QJB_SANDBOX asks for, and keeps what it promises.
    """
    least = load().worker.sandbox
    done = subprocess.run(  # its process is shut in, and threads must not be there
        [sys.executable, "-P", "-m", "executors.sandbox.check"], stdout=subprocess.PIPE, check=True
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    is_enough = report.level.is_at_least(least)
    kept = not any(promise.broken for promise in report.promises)
    say_json_text(done.stdout.decode()) if as_json else _show(report)
    if not as_json:
        verdict = "enough" if is_enough else "not enough"
        say(f"\nThe sandbox here is {report.level}: {verdict} for QJB_SANDBOX={least}.")
    sys.exit(Exit.DONE if is_enough and kept else Exit.ERROR)


def _show(report: Report) -> None:
    say("Walls:")
    for wall in report.walls:
        version = f" (ABI {report.landlock_abi})" if wall.name == "Landlock" else ""
        say(f"  {_mark(wall.missing)}  {wall.name}{version}{_after(wall.missing)}")
    if report.promises:
        say("\nBehind them:")
    for promise in report.promises:
        say(f"  {_mark(promise.broken)}  {promise.text}{_after(promise.broken)}")


def _mark(wrong: str) -> str:
    return "no " if wrong else "yes"


def _after(wrong: str) -> str:
    return f": {wrong}" if wrong else ""

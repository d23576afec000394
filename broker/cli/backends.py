"""The commands about backends: which there are, what each is like, what operators want of them."""

from typing import Any

import click
import msgspec
from msgspec.structs import replace

from broker.cli.client import Client
from broker.cli.kinds import of_field
from broker.cli.nouns import Nouns, listed, shown
from broker.cli.options import Address, of_a_client
from broker.cli.output import say, say_json
from broker.cli.reservations import release, reservations, reserve
from broker.cli.tenants import Desk, of_the_desk
from broker.errors import InvalidRequestError
from broker.telemetry.times import now
from schemas.backends import BackendMode, BackendOrder


@click.group(cls=Nouns, subcommand_metavar="[COMMAND | BACKEND] [ARGS]...")
def backends() -> None:
    """List the backends, or show what BACKEND is like; as an operator, pause, drain, calibrate or reserve
    one.

    `qjb backends` is `qjb backends list`, and `qjb backends BACKEND` is `qjb backends show BACKEND`.
    """


@backends.command("list")
@of_a_client
def list_(at: Address, as_json: bool) -> None:
    """List the backends, with their state and queue."""
    heads = ("BACKEND", "KIND", "QUBITS", "STATUS", "QUEUE", "RUNNING", "SLOTS", "SANDBOX")
    listed(at, as_json, Client.backends, heads, _row)


def _row(backend: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(backend["name"]),
        "simulator" if backend.get("simulator") else "device",
        str(backend.get("qubits", "")),
        _status(backend.get("status") or {}),
        str(backend.get("queue_length", "")),
        str(backend.get("running", "")),
        str(backend.get("slots", "")),
        str(backend.get("sandbox") or "none"),
    )


def _status(status: dict[str, Any]) -> str:
    name, reason = str(status.get("name", "")), str(status.get("reason", ""))
    return f"{name}: {reason}" if name in ("paused", "draining", "calibrating") else name


@backends.command("show")
@click.argument("backend")
@of_a_client
def show_(at: Address, as_json: bool, backend: str) -> None:
    """Show what BACKEND is like."""
    shown(at, as_json, lambda client: client.configuration(backend))


# Orders

for command in (reserve, reservations, release):
    backends.add_command(command)

_WHY = click.option(
    "--why", type=of_field(BackendOrder, "why"), default="", help="What whoever waits is told."
)


@backends.command("pause")
@click.argument("backend")
@_WHY
@of_the_desk
async def pause(at: Desk, as_json: bool, backend: str, why: str) -> None:
    """Let no job begin on BACKEND: jobs for it are taken and wait."""
    told = "is paused: what runs goes on, and jobs for it wait"
    await _order(at, as_json, backend, BackendMode.PAUSED, why, told)


@backends.command("drain")
@click.argument("backend")
@_WHY
@of_the_desk
async def drain(at: Desk, as_json: bool, backend: str, why: str) -> None:
    """Let BACKEND take no more jobs: those that it has go on."""
    told = "is draining: it takes no more jobs, and ends those that it has"
    await _order(at, as_json, backend, BackendMode.DRAINING, why, told)


@backends.command("resume")
@click.argument("backend")
@of_the_desk
async def resume(at: Desk, as_json: bool, backend: str) -> None:
    """Let BACKEND take jobs and begin them again."""
    told = "takes jobs and begins them"
    await _order(at, as_json, backend, BackendMode.ACTIVE, "", told)


@backends.command("calibrate")
@click.argument("backend")
@of_the_desk
async def calibrate(at: Desk, as_json: bool, backend: str) -> None:
    """Have the device BACKEND calibrated anew: nothing begins on it meanwhile."""
    announced = await at.check_backend(backend)
    if announced is not None and not announced.calibrates:
        raise InvalidRequestError(f"{backend} can not be calibrated from here")
    known = at.register.orders.get(backend)
    order = known or BackendOrder(name=backend, mode=BackendMode.ACTIVE, since=now())
    order = replace(order, calibrate=now())
    await at.say(order)
    told = "is to be calibrated: nothing begins on it meanwhile"
    say_json(msgspec.to_builtins(order)) if as_json else say(f"{backend} {told}.")


async def _order(
    at: Desk, as_json: bool, backend: str, mode: BackendMode, why: str, told: str
) -> None:
    await at.check_backend(backend)
    asked = at.calibration_of(backend)
    order = BackendOrder(name=backend, mode=mode, since=now(), why=why, calibrate=asked)
    await at.say(order)
    say_json(msgspec.to_builtins(order)) if as_json else say(f"{backend} {told}.")

"""The commands by which operators say whose a backend is for a while."""

import time
from secrets import token_hex
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from broker.cli import show
from broker.cli.forgetting import Length
from broker.cli.kinds import of_field
from broker.cli.output import say, say_json
from broker.cli.tenants import Desk, of_the_desk
from broker.core.windows import overlapping
from broker.errors import InvalidRequestError
from broker.telemetry.times import iso, now, seconds_of
from schemas.reservations import Reservation
from schemas.unknown import no

LONGEST = 31 * 24 * 3600.0  # s
KEPT = 7 * 24 * 3600.0  # s after one is over; then the next that is made lets go of it
MOST = 100  # of a backend, that are not over


class Moment(click.ParamType[float]):
    """A time, as a Unix time: ISO 8601, of UTC where it has no zone, or `now`."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return time.time() if value == "now" else seconds_of(value)
        except ValueError:
            self.fail(f"{value!r} must be a time such as 2026-12-01T14:00Z, or now", param, ctx)


@click.command()
@click.argument("backend")
@click.option("--tenant", required=True, help="Whose it is.")
@click.option("--session", default="", help="The id of a session of the tenant: for it alone.")
@click.option("--from", "begin", type=Moment(), required=True, help="When; `now`, or ISO 8601.")
@click.option("--for", "length", type=Length(), required=True, help="For how long, such as 2h.")
@click.option(
    "--why", type=of_field(Reservation, "why"), default="", help="What whoever waits is told."
)
@of_the_desk
async def reserve(
    at: Desk,
    as_json: bool,
    backend: str,
    tenant: str,
    session: str,
    begin: float,
    length: float,
    why: str,
) -> None:
    """Let only jobs of one tenant begin on BACKEND for a while."""
    await at.check_backend(backend)
    start, end = _window(begin, length)
    made = Reservation(
        id=token_hex(4),
        backend=backend,
        tenant=at.tenant(tenant).name,
        session=session,
        begin=start,
        end=end,
        created=now(),
        why=why,
    )
    _check(at, made, length)
    await at.say(made)
    over = iso(time.time() - KEPT)
    if gone := [it.made.key for it in at.register.windows if it.made.end < over]:
        await at.forget(gone)
    if as_json:
        say_json(msgspec.to_builtins(made))
        return
    whose = f"session {session} of {tenant}" if session else tenant
    say(f"{backend} is reserved for {whose} from {made.begin} to {made.end}: {made.id}.")


def _window(begin: float, length: float) -> tuple[str, str]:
    try:
        return iso(begin), iso(begin + length)
    except (ValueError, OverflowError):
        raise InvalidRequestError("the reservation would end after the year 9999") from None


def _check(at: Desk, made: Reservation, length: float) -> None:
    """Raises `InvalidRequestError` for what can not be reserved."""
    if length > LONGEST:
        raise InvalidRequestError(f"--for is at most 31d, and is {length:g} s")
    if made.end <= made.created:
        raise InvalidRequestError(f"the reservation would end at {made.end}, which is over")
    if (other := overlapping(made, at.register.windows)) is not None:
        message = f"{other.backend} is reserved from {other.begin} to {other.end} by {other.id}"
        raise InvalidRequestError(message)
    if len([each for each in _ahead(at) if each.backend == made.backend]) >= MOST:
        raise InvalidRequestError(f"{made.backend} has {MOST} reservations, and may not have more")


@click.command()
@of_the_desk
async def reservations(at: Desk, as_json: bool) -> None:
    """List what is reserved from now on."""
    if as_json:
        for each in _ahead(at):
            say_json(msgspec.to_builtins(each))
        return
    rows = [
        (it.id, it.backend, it.tenant, it.session or "-", it.begin, it.end, it.why)
        for it in _ahead(at)
    ]
    show.table(("ID", "BACKEND", "TENANT", "SESSION", "FROM", "TO", "WHY"), rows)


def _ahead(at: Desk) -> list[Reservation]:
    """Those that are not over, in order."""
    found = [each.made for each in at.register.windows if each.made.end > now()]
    return sorted(found, key=lambda each: (each.begin, each.backend))


@click.command()
@click.argument("reservation", metavar="ID")
@of_the_desk
async def release(at: Desk, as_json: bool, reservation: str) -> None:
    """Cancel the reservation ID; within its window others begin at once."""
    if (made := at.register.windows.get(reservation)) is None:
        raise InvalidRequestError(no("reservation", reservation, [it.id for it in _ahead(at)]))
    await at.say(replace(made, cancelled=now()))
    if as_json:
        say_json({"id": made.id})
        return
    say(f"{made.backend} is not reserved from {made.begin} to {made.end} any more.")

"""The commands by which operators say who may use the service, and where they say it: its log."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from broker.appending import append_surely
from broker.cli import show
from broker.cli.forgetting import Length
from broker.cli.kinds import OrNone, of_field
from broker.cli.operating import of_an_operator, opened
from broker.cli.output import say, say_json
from broker.core.tenants import Register
from broker.errors import InvalidRequestError
from broker.reading import pages, places_of, said_in
from broker.telemetry.times import iso, now
from broker.tenancy import Tenancy
from broker.transports.log import Log
from schemas.cloudevents import tenant_record
from schemas.decoding import UnreadableError, decode
from schemas.records import Record
from schemas.tenants import Quota, Said, Scope, Tenant, Token, hashed
from schemas.topics import STATUS, TENANTS, events_of, requests_of
from schemas.unknown import no
from schemas.values import DEFAULT_TENANT
from schemas.workers import BackendAnnounced

USUAL = (Scope.SUBMIT, Scope.READ, Scope.PROGRAMS)
QUOTAS = ("queued", "running", "rate", "body", "device_seconds", "shots", "bytes", "retries")
WEIGHT = of_field(Tenant, "weight")


class Desk:
    """Where operators look at what stands on the topic of tenants, and change it."""

    def __init__(self, log: Log, register: Register, where: str) -> None:
        self._log = log
        self.register = register
        self._where = where  # what operators are told of the log

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name. Raises `InvalidRequestError`."""
        if (found := self.register.tenant(name)) is None:
            raise InvalidRequestError(no("tenant", name, list(self.register.names)))
        return found

    def token(self, token_id: str) -> Token:
        """The token of that id. Raises `InvalidRequestError`."""
        if (found := self.register.token(token_id)) is None:
            known = [token.id for token in self.register.tokens]
            raise InvalidRequestError(no("token", token_id, known))
        return found

    async def check_backend(self, name: str) -> BackendAnnounced | None:
        """What workers said of it last, if they did. Raises `InvalidRequestError` if they have
        announced others, and none of that name.
        """
        known: dict[str, BackendAnnounced] = {}
        async for records in pages(self._log, places_of(self._log, STATUS)):
            said = (said_in(record, STATUS.read) for record in records)
            known |= {each.name: each for each in said if isinstance(each, BackendAnnounced)}
        if known and name not in known.keys() | self.register.orders.keys():
            raise InvalidRequestError(no("backend", name, known))
        return known.get(name)

    def calibration_of(self, backend: str) -> str:
        """When it was asked for last that *backend* be calibrated; empty if it was not."""
        order = self.register.orders.get(backend)
        return order.calibrate if order else ""

    async def say(self, said: Said) -> None:
        """Have *said* stand there. Raises `InvalidRequestError` for what may not."""
        record = tenant_record(said, now())
        try:
            decode(record.value, Said)
        except UnreadableError as error:
            raise InvalidRequestError(_said(said, error.message)) from error
        if isinstance(said, Tenant) and said.name != DEFAULT_TENANT:
            mirror = [events_of(said.name).name] if said.kafka else []
            await self._log.provide([requests_of(said.name).name, *mirror])
        await append_surely(self._log, TENANTS, [record])
        say(f"Written to {self._where}.", err=True)

    async def forget(self, keys: Iterable[bytes]) -> None:
        """Have what stands there with those *keys* hold no more."""
        await append_surely(self._log, TENANTS, [Record(b"", key) for key in keys])


def _said(said: Said, why: str) -> str:
    if isinstance(said, Tenant) and why.endswith("$.name`."[:-1]):
        return f"{said.name!r} names no tenant: small letters, digits and hyphens, at most 32"
    return why


@asynccontextmanager
async def desk(data: Path | None, log: str | None) -> AsyncIterator[Desk]:
    """The desk of the service with that data folder, or that log; running or not."""
    async with opened(data, log) as (found, where):
        tenancy = Tenancy(found)
        await tenancy.catch_up()
        yield Desk(found, tenancy.register, where)


def of_the_desk(command: Callable[..., Any]) -> Callable[..., None]:
    """`--data`, `--log` and `--json`; what *command* gives is run with a desk."""
    return of_an_operator(desk, command)


# Tenants


@click.group()
def tenants() -> None:
    """Say who may use the service, each apart from the others, and how much of it."""


@tenants.command("list")
@of_the_desk
async def list_tenants(at: Desk, as_json: bool) -> None:
    """List the tenants."""
    if as_json:
        for each in at.register.tenants:
            say_json(msgspec.to_builtins(each))
        return
    rows = [
        (each.name, _state(each), f"{each.weight:g}", _quota(each)) for each in at.register.tenants
    ]
    show.table(("TENANT", "STATE", "WEIGHT", "QUOTA"), rows)


def _state(tenant: Tenant) -> str:
    words = ["disabled" if tenant.disabled else "enabled"]
    return ", ".join(words + (["on Kafka"] if tenant.kafka else []))


def _quota(tenant: Tenant) -> str:
    found = [(name, getattr(tenant.quota, name)) for name in QUOTAS]
    return ", ".join(f"{name} {value:.15g}" for name, value in found if value is not None)


@tenants.command("add")
@click.argument("name")
@click.option("--weight", type=WEIGHT, default=1.0, help="Its share beside others; by default 1.")
@click.option("--kafka", is_flag=True, help="It reads its events on a Kafka topic of its own.")
@of_the_desk
async def add(at: Desk, as_json: bool, name: str, weight: float, kafka: bool) -> None:
    """Add the tenant NAME: small letters, digits and hyphens, at most 32."""
    if at.register.tenant(name) is not None:
        raise InvalidRequestError(f"there is a tenant {name} already")
    tenant = Tenant(name=name, created=now(), weight=weight, kafka=kafka)
    await _change(at, as_json, tenant, "is there; `qjb tokens create` lets it in")


def _of_quota(name: str) -> OrNone:
    return OrNone(of_field(Quota, name))


@tenants.command("quota")
@click.argument("name")
@click.option("--queued", type=_of_quota("queued"), metavar="N", help="Jobs that may wait.")
@click.option(
    "--running", type=_of_quota("running"), metavar="N", help="Jobs that may run at once."
)
@click.option(
    "--rate", type=_of_quota("rate"), metavar="N", help="Requests a second, of each gateway."
)
@click.option("--body", type=_of_quota("body"), metavar="BYTES", help="Size of a request.")
@click.option(
    "--device-seconds",
    type=_of_quota("device_seconds"),
    metavar="N",
    help="Seconds of devices in 28 days.",
)
@click.option(
    "--shots", type=_of_quota("shots"), metavar="N", help="Shots that jobs ask for in 28 days."
)
@click.option("--bytes", type=_of_quota("bytes"), metavar="N", help="Bytes of inputs in 28 days.")
@click.option(
    "--retries",
    type=_of_quota("retries"),
    metavar="N",
    help="Attempts that a job may have after the first.",
)
@of_the_desk
async def quota(at: Desk, as_json: bool, name: str, **given: Any) -> None:
    """Set the most that the tenant NAME may have; `none` lifts a limit."""
    tenant = at.tenant(name)
    said = {key: value for key, value in given.items() if value is not None}
    changed = {key: None if value == "none" else value for key, value in said.items()}
    changed_tenant = replace(tenant, quota=replace(tenant.quota, **changed))
    await _change(at, as_json, changed_tenant, f"may have: {_quota(changed_tenant) or 'all'}")


@tenants.command("weight")
@click.argument("name")
@click.argument("weight", type=WEIGHT)
@of_the_desk
async def weight(at: Desk, as_json: bool, name: str, weight: float) -> None:
    """Set the share of the tenant NAME, beside others'; of all that wait, each gets its part."""
    tenant = replace(at.tenant(name), weight=weight)
    await _change(at, as_json, tenant, f"has the weight {weight:g}")


def _must_be_said(ctx: click.Context, option: click.Parameter, said: bool | None) -> bool:
    if said is None:  # click does not ask for a pair of flags in each of its versions
        raise click.MissingParameter(ctx=ctx, param=option)
    return said


@tenants.command("kafka")
@click.argument("name")
@click.option(
    "--on/--off", "mirrored", default=None, callback=_must_be_said, help="Whether it does."
)
@of_the_desk
async def kafka(at: Desk, as_json: bool, name: str, mirrored: bool) -> None:
    """Have the tenant NAME read its events on a Kafka topic of its own, or no more."""
    if name == DEFAULT_TENANT:
        raise InvalidRequestError(f"the tenant {name} has no topic of events of its own")
    tenant = replace(at.tenant(name), kafka=mirrored)
    verb = "reads" if mirrored else "has no"
    await _change(at, as_json, tenant, f"{verb} events on {events_of(name).name}")


@tenants.command("disable")
@click.argument("name")
@of_the_desk
async def disable(at: Desk, as_json: bool, name: str) -> None:
    """Let nobody ask in the name of the tenant NAME; what it asked for goes on."""
    await _change(at, as_json, replace(at.tenant(name), disabled=True), "is disabled")


@tenants.command("enable")
@click.argument("name")
@of_the_desk
async def enable(at: Desk, as_json: bool, name: str) -> None:
    """Let the tenant NAME in again."""
    await _change(at, as_json, replace(at.tenant(name), disabled=False), "is enabled")


async def _change(at: Desk, as_json: bool, tenant: Tenant, told: str) -> None:
    await at.say(tenant)
    say_json(msgspec.to_builtins(tenant)) if as_json else say(f"The tenant {tenant.name} {told}.")


# Tokens


@click.group()
def tokens() -> None:
    """Make the tokens by which clients say who they are. With the first, everybody needs one."""


@tokens.command("create")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose it is.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it is good for; by default submit, read and programs.",
)
@click.option(
    "--expires", "lasts", type=Length(), help="When it ends, such as 90d; by default never."
)
@click.option(
    "--label", type=of_field(Token, "label"), default="", help="What it is for, to know it by."
)
@of_the_desk
async def create(
    at: Desk, as_json: bool, tenant: str, scopes: tuple[str, ...], lasts: float | None, label: str
) -> None:
    """Make a token. It is shown now and never again: a hash of it is kept."""
    at.tenant(tenant)
    text = f"qjb_{secrets.token_urlsafe(32)}"
    token = Token(
        id=secrets.token_hex(6),
        tenant=tenant,
        sha256=hashed(text),
        scopes=tuple(map(Scope, scopes)) or USUAL,
        created=now(),
        label=label,
        expires=None if lasts is None else iso(time.time() + lasts),
    )
    await at.say(token)
    if as_json:
        say_json({"token": text, **_shown(token)})
        return
    say(text)
    say(f"This is the token {token.id} of the tenant {tenant}; it is not shown again.", err=True)


@tokens.command("list")
@click.option("--tenant", help="Only those of this tenant.")
@of_the_desk
async def list_tokens(at: Desk, as_json: bool, tenant: str | None) -> None:
    """List the tokens, but for what they say: nobody knows that any more."""
    found = [token for token in at.register.tokens if tenant in (None, token.tenant)]
    if as_json:
        for token in found:
            say_json(_shown(token))
        return
    head = ("TOKEN", "TENANT", "SCOPES", "STATE", "EXPIRES", "LABEL")
    show.table(head, [_row(at.register, token) for token in found])


def _row(register: Register, token: Token) -> tuple[str, ...]:
    state = register.refusal(token, now()) or "good"
    scopes = ", ".join(token.scopes)
    return token.id, token.tenant, scopes, state, token.expires or "never", token.label


def _shown(token: Token) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(token)
    return {name: value for name, value in found.items() if name not in ("sha256", "kind")}


@tokens.command("revoke")
@click.argument("token_id", metavar="TOKEN")
@of_the_desk
async def revoke(at: Desk, as_json: bool, token_id: str) -> None:
    """End the token with the id TOKEN, and the streams that it opened."""
    token = at.token(token_id)
    ended = token if token.revoked else replace(token, revoked=now())
    await at.say(ended)
    say_json(_shown(ended)) if as_json else say(f"The token {token_id} is revoked.")

"""Health: is the process alive, can it answer, and what does it count?"""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from broker.gateway.api.describing import Whole
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from broker.telemetry.metrics import exposition


class Life(msgspec.Struct, frozen=True):
    """The event loop turns."""

    status: Literal["live"] = "live"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a gateway answers questions."""

    status: Literal["ready", "not ready"]
    caught_up: bool
    whole: Annotated[bool, Meta(description="The history has been read, too.")]
    log_reachable: bool
    draining: bool
    tail_lag_seconds: float
    broker: bool
    workers: Whole
    backends: Whole
    slots: Annotated[
        dict[str, int], Meta(description="By backend; those of one worker may share them.")
    ]
    sandbox: Annotated[
        dict[str, str], Meta(description="By backend: in which uploaded programs run.")
    ]
    streams: Whole


async def live(request: Request) -> web.Response:
    """GET /live."""
    return answer(Life(), headers=NO_STORE)


async def ready(request: Request) -> web.Response:
    """GET /ready: 200 once the log has been read and while it can be reached."""
    parts = request.parts
    tail, fleet = parts.tail, parts.fleet
    is_ready = tail.caught_up.is_set() and tail.reachable and not parts.draining.is_set()
    said = Readiness(
        status="ready" if is_ready else "not ready",
        caught_up=tail.caught_up.is_set(),
        whole=tail.caught_up.is_set() and not parts.model.is_partial,
        log_reachable=tail.reachable,
        draining=parts.draining.is_set(),
        tail_lag_seconds=round(tail.lag, 4),
        broker=fleet.has_broker,
        workers=len(fleet.workers),
        backends=sum(fleet.is_online(backend.name) for backend in fleet.backends),
        slots=fleet.slots,
        sandbox=fleet.sandboxes,
        streams=len(parts.streams),
    )
    return answer(said, 200 if is_ready else 503, NO_STORE)


async def metrics(request: Request) -> web.Response:
    """GET /metrics, in Prometheus' text format."""
    body, content_type = exposition()
    return web.Response(body=body, headers=NO_STORE | {"Content-Type": content_type})

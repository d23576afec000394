"""Health: is the process alive, can it answer, and what does it count?"""

from aiohttp import web

from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from broker.telemetry.metrics import exposition


async def live(request: Request) -> web.Response:
    """GET /live: the event loop turns."""
    return answer({"status": "live"}, headers=NO_STORE)


async def ready(request: Request) -> web.Response:
    """GET /ready: 200 once the log has been read and while it can be reached."""
    parts = request.parts
    tail, fleet = parts.tail, parts.fleet
    is_ready = tail.caught_up.is_set() and tail.reachable and not parts.draining.is_set()
    said = {
        "status": "ready" if is_ready else "not ready",
        "caught_up": tail.caught_up.is_set(),
        "whole": tail.caught_up.is_set() and not parts.model.is_partial,
        "log_reachable": tail.reachable,
        "draining": parts.draining.is_set(),
        "tail_lag_seconds": round(tail.lag, 4),
        "broker": fleet.has_broker,
        "workers": len(fleet.workers),
        "backends": sum(fleet.is_online(backend.name) for backend in fleet.backends),
        "sandbox": fleet.sandboxes,
        "streams": len(parts.streams),
    }
    return answer(said, 200 if is_ready else 503, NO_STORE)


async def metrics(request: Request) -> web.Response:
    """GET /metrics, in Prometheus' text format."""
    body, content_type = exposition()
    return web.Response(body=body, headers=NO_STORE | {"Content-Type": content_type})

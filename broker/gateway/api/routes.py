"""Every route of the API, under each of the prefixes that clients put in front."""

from collections.abc import Awaitable, Callable
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler

from broker.gateway.api import backends, docs, events, health, jobs, programs, results

PREFIXES = ("", "/experimental", "/api/v1", "/quantum-computing.ibm.com/api", "/api", "/v1")
API: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/jobs", jobs.submit),
    ("GET", "/jobs", jobs.listing),
    ("GET", "/jobs/{job_id}", jobs.details),
    ("POST", "/jobs/{job_id}/cancel", jobs.cancel),
    ("DELETE", "/jobs/{job_id}", jobs.delete),
    ("GET", "/jobs/{job_id}/queue", jobs.queue),
    ("GET", "/jobs/{job_id}/results", results.result),
    ("GET", "/jobs/{job_id}/interim_results", results.interim),
    ("GET", "/jobs/{job_id}/logs", results.logs),
    ("GET", "/jobs/{job_id}/events", events.of_job),
    ("GET", "/events", events.of_many),
    ("GET", "/programs", programs.listing),
    ("GET", "/programs/{program_id}", programs.details),
    ("GET", "/backends", backends.listing),
    ("GET", "/backends/{backend}/configuration", backends.configuration),
    ("GET", "/backends/{backend}/properties", backends.properties),
    ("GET", "/backends/{backend}/defaults", backends.defaults),
    ("GET", "/backends/{backend}/status", backends.status),
)
AROUND: tuple[tuple[str, str, Handler], ...] = (  # of this gateway itself: without a prefix
    ("GET", "/live", health.live),
    ("GET", "/ready", health.ready),
    ("GET", "/metrics", health.metrics),
    ("GET", "/openapi.json", docs.specification),
    ("GET", "/docs", docs.page),
    ("GET", "/docs/{asset}", docs.asset),
    ("GET", "/", docs.dashboard),
    ("GET", "/favicon.svg", docs.icon),
)


def add_routes(
    app: web.Application, expect: Callable[[web.Request], Awaitable[web.StreamResponse | None]]
) -> None:
    """Everything that the gateway answers; *expect* says whether a body is wanted at all."""
    whole = [(m, prefix + path, h) for prefix in PREFIXES for m, path, h in API]
    for end in ("", "/"):  # the plain ones first: they are looked for first
        for method, path, handler in (*whole, *AROUND):
            if path == "/" and end:
                continue
            app.router.add_route(method, path + end, handler, expect_handler=expect)
            if method == "GET":
                app.router.add_route("HEAD", path + end, handler, expect_handler=expect)


@lru_cache(maxsize=1024)  # there are not so many routes
def without_prefix(path: str) -> str:
    """The route's own path, whichever prefix was in front, without a slash behind."""
    path = path.rstrip("/") or "/"
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        if prefix and path.startswith(prefix + "/"):
            return path[len(prefix) :]
    return path

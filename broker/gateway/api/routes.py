"""Every route of the API."""

from broker.gateway.api import backends, docs, events, health, jobs, programs, results
from broker.gateway.api.places import Place, Route

# What clients put in front.
PREFIXES = ("", "/experimental", "/api/v1", "/quantum-computing.ibm.com/api", "/api", "/v1")
API: tuple[Route, ...] = (
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
AROUND: tuple[Route, ...] = (  # of this gateway itself: without a prefix
    ("GET", "/live", health.live),
    ("GET", "/ready", health.ready),
    ("GET", "/metrics", health.metrics),
    ("GET", "/openapi.json", docs.specification),
    ("GET", "/docs", docs.page),
    ("GET", "/docs/{asset}", docs.asset),
    ("GET", "/", docs.dashboard),
    ("GET", "/favicon.svg", docs.icon),
)


PLACES = Place()
for _prefix in PREFIXES:
    PLACES.add(API, _prefix)
PLACES.add(AROUND)

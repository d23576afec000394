"""Every Prometheus metric, in one place. Labelled children are made once, where they are used.

No label takes what a stranger wrote: each has as many values as there are backends, programs …
"""

import contextlib
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.01, 0.1, 1, 10, 60, 300, 1800, 3600, 10800)

EVENTS = Counter("qjb_events", "Events written to the ledger", ["kind"])
REJECTIONS = Counter("qjb_rejections", "Requests rejected", ["reason"])
DEAD_LETTERS = Counter("qjb_dead_letters", "Records and jobs given up", ["code"])
APPEND_SECONDS = Histogram("qjb_ledger_append_seconds", "One append to the ledger", buckets=_FAST)
BATCH = Histogram(
    "qjb_ledger_batch", "Inputs decided in one turn", buckets=(1, 4, 16, 64, 256, 1024)
)
JOBS_LIVE = Gauge("qjb_jobs_live", "Jobs that have not ended", ["state"])
QUEUE_SECONDS = Histogram(
    "qjb_queue_seconds", "A job, accepted to first dispatched", ["backend"], buckets=_LONG
)
START_LATE_SECONDS = Histogram(
    "qjb_start_late_seconds",
    "Starts, by how much later than expected; below zero: earlier",
    ["backend"],
    buckets=(-3600, -600, -60, -10, -1, 1, 10, 60, 600, 3600),
)
STARTS_FORECAST = Counter(
    "qjb_starts_forecast", "Starts, by whether they were within the range", ["backend", "within"]
)
JOB_SECONDS = Histogram(
    "qjb_job_seconds", "A job, accepted to ended", ["program", "state"], buckets=_LONG
)
BROKER_ACTIVE = Gauge("qjb_broker_active", "1 while this broker is the active one")
CLAIMS = Counter("qjb_claims", "Times that this broker became active")
WORKERS_LIVE = Gauge("qjb_workers_live", "Workers whose lease runs")

ATTEMPTS = Counter("qjb_attempts", "Attempts that ended, by how", ["outcome"])
ATTEMPT_SECONDS = Histogram("qjb_attempt_seconds", "An attempt, begin to end", buckets=_LONG)
SLOTS = Gauge("qjb_worker_slots", "Slots of this worker", ["state"])
CHILDREN_STARTED = Counter("qjb_children_started", "Child processes started")

HTTP_REQUESTS = Counter(
    "qjb_http_requests", "HTTP requests answered", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram("qjb_http_seconds", "HTTP requests that are not streams", buckets=_FAST)
STREAMS = Gauge("qjb_sse_streams", "Open event streams")
DELIVERIES = Counter("qjb_sse_deliveries", "Events written to subscribers")
STREAM_ENDS = Counter("qjb_sse_ends", "Event streams closed, by why", ["reason"])
RESUMES = Counter("qjb_sse_resumes", "Streams resumed from an id, by where from", ["source"])
GAPS = Counter("qjb_sse_gaps", "Gap events sent")
TAIL_LAG_SECONDS = Gauge("qjb_tail_lag_seconds", "Age of the newest event when the gateway read it")
LOG_BYTES = Gauge("qjb_log_bytes", "Size of the embedded log's files")
CACHE_BYTES = Gauge("qjb_cache_bytes", "Size of the gateways' local copies in the data folder")
BLOB_BYTES = Gauge("qjb_blob_bytes", "Size of the payloads in a local blob store")
DISK_FREE_BYTES = Gauge("qjb_disk_free_bytes", "Free space where data are, on the fullest disk")
MEMORY_BYTES = Gauge("qjb_memory_held_bytes", "Memory that is held, by whom", ["holder"])
BUILD = Info("qjb_build", "What runs here")

_T = TypeVar("_T")
_HOLDERS: dict[str, WeakKeyDictionary[Any, Callable[[Any], int]]] = {}


def holds(holder: str, owner: _T, size: Callable[[_T], int]) -> None:
    """What *size* says of *owner* counts to *holder*, for as long as *owner* is there."""
    if (owners := _HOLDERS.get(holder)) is None:
        owners = _HOLDERS[holder] = WeakKeyDictionary()
        MEMORY_BYTES.labels(holder).set_function(lambda: _held(owners))
    owners[owner] = size


def _held(owners: WeakKeyDictionary[Any, Callable[[Any], int]]) -> int:
    return sum(size(owner) for owner, size in list(owners.items()))


def _versions() -> dict[str, str]:
    """Of this and of what it is made for, by their metadata: nothing is imported."""
    found = {"python": platform.python_version()}
    names = {"version": "quantum-job-broker", "qiskit": "qiskit", "qiskit_aer": "qiskit-aer"}
    for label, name in names.items():
        with contextlib.suppress(PackageNotFoundError):  # a gateway may be without
            found[label] = version(name)
    return found


BUILD.info(_versions())


def exposition() -> tuple[bytes, str]:
    """All metrics in Prometheus' text format, and its content type."""
    return generate_latest(REGISTRY), "text/plain; version=0.0.4; charset=utf-8"

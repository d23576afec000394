"""The routes of what jobs run on, as clients of each generation ask for it."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from broker.errors import NotFoundError, UnknownBackendError
from broker.gateway.api import backends, devices
from broker.gateway.api.describing import Body
from broker.gateway.api.places import Handler, Route
from broker.gateway.api.shapes_of_backends import (
    OBJECTS_SINCE,
    BackendAsked,
    BackendNames,
    Backends,
    BackendsAsked,
    BackendStatus,
    DeviceStatus,
    JobsLimit,
    PropertiesAsked,
)


def _of_a_backend(
    what: str, handler: Handler, name: str, summary: str, query: type[Struct], kind: Any
) -> Route:
    path = f"/backends/{{backend}}/{what}"
    answers = {200: Body(summary, kind)}
    errors = (UnknownBackendError,)
    return Route("GET", path, handler, name, summary, answers, query=query, errors=errors)


BACKENDS = (
    Route(
        "GET",
        "/backends",
        backends.listing,
        "listBackends",
        "List backends",
        {
            200: Body(
                f"Names; objects from API version {OBJECTS_SINCE} on.", BackendNames | Backends
            )
        },
        query=BackendsAsked,
        headers={backends.API_VERSION: "The API version that the client speaks."},
    ),
    _of_a_backend(
        "configuration",
        backends.configuration,
        "getConfiguration",
        "What a backend can do",
        BackendAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "properties",
        backends.properties,
        "getProperties",
        "How well its qubits and gates work",
        PropertiesAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "defaults",
        backends.defaults,
        "getDefaults",
        "Pulse defaults: none",
        BackendAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "status",
        backends.status,
        "getBackendStatus",
        "Does it take jobs?",
        BackendAsked,
        BackendStatus,
    ),
)

# Before September 2022

_PROJECT = "/Network/{hub}/Groups/{group}/Projects/{project}/devices"
_NOT_THERE = (UnknownBackendError, NotFoundError)


def _of_a_device(
    what: str,
    handler: Handler,
    name: str,
    summary: str,
    kind: Any,
    query: type[Struct] = BackendAsked,
) -> Route:
    path = f"{_PROJECT}/{{backend}}/{what}"
    answers = {200: Body(summary, kind)}
    return Route("GET", path, handler, name, summary, answers, query=query, errors=_NOT_THERE)


DEVICES = (
    Route(
        "GET",
        f"{_PROJECT}/v/1",
        devices.listing,
        "listDevices",
        "The configurations of all backends",
        {200: Body("Each with all it is.", list[dict[str, Any]])},
        errors=(NotFoundError,),
    ),
    _of_a_device(
        "properties",
        devices.properties,
        "getDeviceProperties",
        "How well it works",
        dict[str, Any],
        PropertiesAsked,
    ),
    _of_a_device(
        "defaults", devices.defaults, "getDeviceDefaults", "Pulse defaults: none", dict[str, Any]
    ),
    _of_a_device(
        "queue/status", devices.status, "getDeviceStatus", "Does it take jobs?", DeviceStatus
    ),
    _of_a_device(
        "jobsLimit", devices.jobs_limit, "getJobsLimit", "How many jobs one may have", JobsLimit
    ),
    _of_a_device(
        "bookings/v2",
        devices.bookings,
        "listBookings",
        "Who booked it: nobody",
        Annotated[list[Any], Meta(max_length=0)],
    ),
)

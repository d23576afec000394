"""The routes by which clients of each generation log in and find what they may use."""

from typing import Any

from broker.errors import InvalidRequestError, UnauthorizedError
from broker.gateway.api import devices, instances, login, page_login
from broker.gateway.api.describing import (
    WHOLE,
    YES_OR_NO,
    Body,
    Schema,
    a_list,
    an_error,
    an_object,
    as_json,
    text,
)
from broker.gateway.api.places import Handler, Route
from schemas.tenants import Scope

_ANY_OBJECT: Schema = {"type": "object"}
_NOT_GOOD = an_error("Nobody has that token.")
_MALFORMED = an_error("The body is not what it should be.")
_URLS = an_object("http ws services", http=text(), ws=text(), services=_ANY_OBJECT)
_TOKEN = an_object(
    "access_token refresh_token token_type expires_in expiration",
    access_token=text("A JWT."),
    refresh_token=text("Keys are exchanged again instead."),
    token_type=text(),
    expires_in=WHOLE | {"description": "Seconds."},
    expiration=WHOLE | {"description": "Unix time."},
    scope=text(),
)
_INSTANCE = an_object(
    "crn name service_plan_unique_id tags doc",
    crn=text(),
    name=text(),
    service_name=text(),
    service_plan_unique_id=text(),
    region=text(),
    tags=a_list(text()),
    doc=_ANY_OBJECT,
)

LOGIN = (
    Route(
        "GET",
        "/version",
        login.version,
        "getVersion",
        "Is this a server of Qiskit Runtime?",
        {200: as_json("It is.", _ANY_OBJECT)},
        is_open=True,
    ),
    Route(
        "POST",
        "/users/loginWithToken",
        login.with_token,
        "logIn",
        "Log in, as clients of IBM Quantum do",
        {
            200: as_json(
                "What to send as `X-Access-Token` from now on.",
                an_object("id", id=text(), userId=text()),
            ),
            400: _MALFORMED,
            401: _NOT_GOOD,
        },
        body={"application/json": {"schema": an_object("apiToken", apiToken=text())}},
        is_open=True,
    ),
    Route(
        "GET",
        "/users/me",
        login.me,
        "whoAmI",
        "Who one is, and where all else is",
        {
            200: as_json(
                "You.", an_object("id username urls", id=text(), username=text(), urls=_URLS)
            )
        },
    ),
    Route(
        "GET",
        "/Network",
        login.network,
        "listHubs",
        "The hub, group and project that one has",
        {
            200: as_json(
                "One hub.", a_list(an_object("name groups", name=text(), groups=_ANY_OBJECT))
            )
        },
    ),
    Route(
        "POST",
        "/identity/token",
        instances.token,
        "exchangeKey",
        "Exchange a key for a JWT, as clients of the IBM Quantum Platform do",
        {200: as_json("A JWT of an hour.", _TOKEN), 400: _MALFORMED, 401: _NOT_GOOD},
        body={
            "application/x-www-form-urlencoded": {
                "schema": an_object(
                    "grant_type apikey",
                    grant_type=text(const=instances.BY_KEY),
                    apikey=text(minLength=1),
                    response_type=text(),
                )
            }
        },
        is_open=True,
    ),
    Route(
        "POST",
        "/v3/resources/search",
        instances.search,
        "findInstances",
        "The instances that one may use",
        {200: as_json("One.", an_object("items limit", items=a_list(_INSTANCE), limit=WHOLE))},
        body=Body("", Any, is_needed=False),
        scope=Scope.READ,
    ),
    Route(
        "GET",
        f"/{instances.PLAN}",
        instances.plan,
        "getPlan",
        "The plan of an instance, as a catalogue has it",
        {200: as_json("The only one.", _ANY_OBJECT)},
        is_open=True,
    ),
    Route(
        "GET",
        "/instance",
        instances.instance,
        "getInstance",
        "The instance that one uses",
        {
            200: as_json(
                "It.",
                an_object(
                    "id crn name plan_id backends",
                    id=text(),
                    crn=text(),
                    name=text(),
                    plan_id=text(),
                    backends=a_list(text()),
                    qctrl_enabled=YES_OR_NO,
                ),
            )
        },
    ),
    Route(
        "GET",
        "/instances/configuration",
        instances.configuration,
        "getInstanceConfiguration",
        "What limits an instance",
        {200: as_json("Nothing does.", _ANY_OBJECT)},
    ),
)

PAGE = (  # of this gateway itself: its cookie is for all paths
    Route(
        "POST",
        "/login",
        page_login.log_in,
        "logInToPage",
        "Log in to the web page",
        {204: "A cookie stands for the token, for twelve hours at most."},
        body=page_login.PageLogin,
        errors=(InvalidRequestError, UnauthorizedError),
        is_open=True,
    ),
    Route(
        "POST",
        "/logout",
        page_login.log_out,
        "logOutOfPage",
        "Log out of the web page",
        {204: "The cookie is gone."},
        is_open=True,
    ),
)
TICKETS = (
    Route(
        "POST",
        "/tickets",
        page_login.ticket,
        "makeTicket",
        "Make a ticket, which opens one event stream",
        {201: Body("Good for half a minute.", page_login.Ticket)},
        scope=Scope.READ,
        description="An `EventSource` can send no header. It opens"
        " `/jobs/{job_id}/events?ticket=…` or `/events?ticket=…` with one.",
    ),
)

_PROJECT = "/Network/{hub}/Groups/{group}/Projects/{project}/devices"
_NO_DEVICE = an_error("There is no such backend, or it is not your project.")


def _of_a_device(
    what: str, handler: Handler, name: str, summary: str, schema: Schema = _ANY_OBJECT
) -> Route:
    answers = {200: as_json(summary, schema), 404: _NO_DEVICE}
    return Route("GET", f"{_PROJECT}/{{backend}}/{what}", handler, name, summary, answers)


DEVICES = (
    Route(
        "GET",
        f"{_PROJECT}/v/1",
        devices.listing,
        "listDevices",
        "The configurations of all backends",
        {200: as_json("Each with all it is.", a_list(_ANY_OBJECT)), 404: _NO_DEVICE},
    ),
    _of_a_device("properties", devices.properties, "getDeviceProperties", "How well it works"),
    _of_a_device("defaults", devices.defaults, "getDeviceDefaults", "Pulse defaults: none"),
    _of_a_device("queue/status", devices.status, "getDeviceStatus", "Does it take jobs?"),
    _of_a_device("jobsLimit", devices.jobs_limit, "getJobsLimit", "How many jobs one may have"),
    _of_a_device("bookings/v2", devices.bookings, "listBookings", "Who booked it", a_list({})),
)

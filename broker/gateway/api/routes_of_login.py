"""The routes by which clients of each generation log in and find what they may use."""

from typing import Any

from broker.errors import (
    NotFoundError,
    UnauthorizedError,
)
from broker.gateway.api import instances, login, page_login
from broker.gateway.api.describing import FORM, Body
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_login import (
    PLAN,
    FoundInstances,
    Granted,
    Hub,
    Instance,
    InstanceLimits,
    KeyGrant,
    LoggedIn,
    Login,
    Me,
    Plan,
    Version,
)
from broker.gateway.code_flow import Answered
from schemas.tenants import Scope

_NOT_GOOD = (UnauthorizedError,)

LOGIN = (
    Route(
        "GET",
        "/version",
        login.version,
        "getVersion",
        "Is this a server of Qiskit Runtime?",
        {200: Version},
        is_open=True,
    ),
    Route(
        "POST",
        "/users/loginWithToken",
        login.with_token,
        "logIn",
        "Log in, as clients of IBM Quantum do",
        {200: LoggedIn},
        body=Login,
        errors=_NOT_GOOD,
        is_open=True,
    ),
    Route(
        "GET",
        "/users/me",
        login.me,
        "whoAmI",
        "Who one is, and where all else is",
        {200: Me},
    ),
    Route(
        "GET",
        "/Network",
        login.network,
        "listHubs",
        "The hub, group and project that one has",
        {200: Body("One hub.", list[Hub])},
    ),
    Route(
        "POST",
        "/identity/token",
        instances.token,
        "exchangeKey",
        "Exchange a key for a JWT, as clients of the IBM Quantum Platform do",
        {200: Granted},
        body=Body("", {FORM: KeyGrant}),
        errors=_NOT_GOOD,
        is_open=True,
    ),
    Route(
        "POST",
        "/v3/resources/search",
        instances.search,
        "findInstances",
        "The instances that one may use",
        {200: FoundInstances},
        body=Body("", Any, is_needed=False),
        scope=Scope.READ,
    ),
    Route(
        "GET",
        f"/{PLAN}",
        instances.plan,
        "getPlan",
        "The plan of an instance, as a catalogue has it",
        {200: Plan},
        is_open=True,
    ),
    Route(
        "GET",
        "/instance",
        instances.instance,
        "getInstance",
        "The instance that one uses",
        {200: Instance},
    ),
    Route(
        "GET",
        "/instances/configuration",
        instances.configuration,
        "getInstanceConfiguration",
        "What limits an instance",
        {200: InstanceLimits},
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
        errors=_NOT_GOOD,
        is_open=True,
    ),
    Route(
        "GET",
        "/login",
        page_login.ways,
        "listWaysToLogIn",
        "How one can log in to the web page",
        {200: page_login.Ways},
        is_open=True,
    ),
    Route(
        "GET",
        "/login/issuer",
        page_login.begin,
        "logInByIssuer",
        "Have the OpenID Connect issuer log one in to the web page",
        {303: "The issuer asks who it is."},
        errors=(NotFoundError,),
        is_open=True,
    ),
    Route(
        "GET",
        "/login/callback",
        page_login.end,
        "endLoginByIssuer",
        "Where the issuer sends the browser back to",
        {303: "The web page; a cookie stands for the ID token, as long as that is good."},
        query=Answered,
        errors=(NotFoundError, UnauthorizedError),
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

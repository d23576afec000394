"""What clients of each generation are told as they log in, and find what they may use."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from broker.gateway.api.describing import Whole
from broker.gateway.api.naming import HUB, PROJECT, crn_of

PLAN = "a1b0c2d3-0000-4000-8000-716a62000001"  # its id; those of IBM look so, too

# IBM Quantum, from 2021 to 2025


class Version(
    msgspec.Struct, frozen=True, rename={"api_auth": "api-auth", "api_runtime": "api-runtime"}
):
    """A server of Qiskit Runtime: clients take what has no `api-auth` for none."""

    new_api: bool = True
    api_auth: str = "1"
    api_runtime: str = "1"


class Login(msgspec.Struct, rename="camel"):
    """What a client logs in with."""

    api_token: str


class LoggedIn(msgspec.Struct, frozen=True, rename="camel"):
    """What to send as `X-Access-Token` from now on."""

    id: str
    user_id: str


class Urls(msgspec.Struct, frozen=True):
    """Where all else is."""

    http: str
    ws: str
    services: dict[str, str]


class Me(msgspec.Struct, frozen=True):
    """Who one is, and where all else is."""

    id: str
    username: str
    urls: Urls


class Project(msgspec.Struct, frozen=True, rename="camel"):
    """What jobs belong to."""

    title: str
    is_default: bool = True


class Group(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A tenant."""

    title: str
    is_default: bool = True
    projects: Mapping[str, Project]


class Hub(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The only hub, with the group of whoever asks."""

    name: str = HUB
    title: str = HUB
    is_default: bool = True
    groups: Mapping[str, Group]


# The IBM Quantum Platform


class KeyGrant(msgspec.Struct, frozen=True):
    """A key that is exchanged for a JWT."""

    grant_type: Literal["urn:ibm:params:oauth:grant-type:apikey"]
    apikey: Annotated[str, Meta(min_length=1)]
    response_type: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A JWT of an hour."""

    access_token: Annotated[str, Meta(description="A JWT.")]
    refresh_token: Annotated[
        Literal["not_supported"], Meta(description="Keys are exchanged again instead.")
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(ge=0, description="Seconds.")]
    expiration: Annotated[int, Meta(ge=0, description="Unix time.")]
    scope: Literal["ibm openid"]


class Extension(msgspec.Struct, frozen=True):
    """What is said of an instance. One without backends has nothing to use."""

    key: str = "backends"
    value: str = "all"


class FoundInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance, as a search finds it."""

    crn: str
    name: str
    service_name: str = "quantum-computing"
    service_plan_unique_id: str = PLAN
    region: str = "us-east"
    tags: tuple[str, ...] = ()
    doc: Mapping[str, tuple[Extension, ...]]


class FoundInstances(msgspec.Struct, frozen=True):
    """The instances that one may use."""

    items: list[FoundInstance]
    limit: Whole = 100


class PlanName(msgspec.Struct, frozen=True):
    """How a plan is called, in one language."""

    display_name: str = "Self-hosted"
    description: str = "Programs run on your own machines."


class Pricing(msgspec.Struct, frozen=True):
    """What a plan costs."""

    type: str = "free"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of all instances."""

    id: str = PLAN
    kind: str = "plan"
    name: str = "self-hosted"
    overview_ui: Mapping[str, PlanName]  # by language
    metadata: Mapping[str, Pricing]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """The instance that one uses."""

    id: str
    crn: str
    name: str
    plan_id: str = PLAN
    backends: list[str]
    qctrl_enabled: bool = False


class InstanceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What limits an instance: nothing does."""

    instance_id: str
    plan_id: str = PLAN
    instance_limit_seconds: int | None = None


def hub_of(tenant: str) -> Hub:
    """The one project that *tenant* has, with what it belongs to."""
    group = Group(title=tenant, projects={PROJECT: Project(PROJECT)})
    return Hub(groups={tenant: group})


def plan() -> Plan:
    """The only one."""
    return Plan(overview_ui={"en": PlanName()}, metadata={"pricing": Pricing()})


def found_instance(tenant: str) -> FoundInstance:
    """The instance of *tenant*."""
    return FoundInstance(crn=crn_of(tenant), name=tenant, doc={"extensions": (Extension(),)})

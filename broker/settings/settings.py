"""Everything that an operator can set: by `QJB_…` variables, the common ones by options too."""

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from broker.errors import SettingsError
from broker.settings.broker import BrokerSettings
from broker.settings.gateway import GatewaySettings, OidcSettings, StreamSettings
from broker.settings.group import PREFIX, Group
from broker.settings.role import EVERYTHING
from broker.settings.storage import StorageSettings
from broker.settings.telemetry import TelemetrySettings
from broker.settings.worker import WorkerSettings

READ_ELSEWHERE = frozenset(
    {"QJB_URL", "QJB_CA_FILE", "QJB_TOKEN", "QJB_TOKEN_FILE", "QJB_TEST_KAFKA"}
)  # by clients, by tests


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of every role."""

    storage: StorageSettings
    gateway: GatewaySettings
    oidc: OidcSettings
    streams: StreamSettings
    worker: WorkerSettings
    broker: BrokerSettings
    telemetry: TelemetrySettings

    def gateways_apart(self, roles: Collection[str]) -> bool:
        """Whether a process of *roles* has processes of their own for gateways."""
        return self.gateway.gateways > 0 and set(roles) == set(EVERYTHING)

    def as_environment(self) -> dict[str, str]:
        """Variables that set the same in another process: what was set, and what follows from it."""
        groups: list[Group] = [getattr(self, about) for about in GROUPS]
        return {name: value for group in groups for name, value in group.as_environment().items()}


GROUPS: Mapping[str, type[Group]] = get_type_hints(Settings)


def every() -> dict[str, FieldInfo]:
    """What can be set, by the names of variables."""
    return {
        variable: group.model_fields[name]
        for group in GROUPS.values()
        for name, variable in group.variables().items()
    }


def load(options: Mapping[str, Any] | None = None) -> Settings:
    """The settings: *options* that are not None, else variables, else defaults.

    An option is called as its variable is, without the prefix and in small letters. Raises
    `SettingsError` with one sentence that names every setting that can not be used.
    """
    given = {
        PREFIX + name.upper(): value for name, value in (options or {}).items() if value is not None
    }
    made: dict[str, Any] = {}
    errors: list[ValidationError] = []
    findings = [f"{name}: there is no such setting" for name in given.keys() - every().keys()]
    for about, group in GROUPS.items():
        variables = group.variables().items()
        try:
            made[about] = group(**{name: given[it] for name, it in variables if it in given})
        except ValidationError as error:
            errors.append(error)
            findings += _findings(group, error)
    if findings:
        raise SettingsError("; ".join(findings)) from next(iter(errors), None)
    return Settings(**made)


def _findings(group: type[Group], error: ValidationError) -> Iterator[str]:
    variables = group.variables()
    for detail in error.errors():
        rule = detail["msg"]
        for lead in ("Input ", "String ", "Value error, "):
            rule = rule.removeprefix(lead)
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name in variables:
            value = f"{detail['input']!r} " if group.model_fields[name].repr else ""
            yield f"{variables[name]}: {value}{rule}"
        else:
            yield f"{PREFIX}SETTINGS: {rule}"


def unknown_variables() -> list[str]:
    """`QJB_…` variables that set nothing: most likely misspelt."""
    known = every().keys() | READ_ELSEWHERE
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def host_name() -> str:
    """The host's name, as far as it can stand in an id."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in socket.gethostname())
    return name.lstrip("._-")[:100] or "host"

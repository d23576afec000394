"""What a gateway answers, as far as the client commands read it."""

import json
from collections.abc import Mapping
from typing import Any, Required, TypedDict

import msgspec

from broker.errors import QjbError
from schemas.values import Violation


class GatewayMissingError(QjbError):
    """Nothing answers at the gateway's address."""

    code = "no_gateway"
    status = 503


class AnswerError(QjbError):
    """The gateway said no. `name` is the stable code of what is wrong."""

    def __init__(
        self, status: int, name: str, message: str, violations: tuple[Violation, ...] = ()
    ) -> None:
        super().__init__(message, violations)
        self.status = status
        self.code = name


class _Named(TypedDict, total=False):
    id: str
    name: str


class _Listed(TypedDict, total=False):
    """What the commands read in an entry of a list."""

    id: Required[str]
    program: _Named | None
    tags: list[str] | None


class _Backend(TypedDict, total=False):
    name: Required[str]
    status: _Named | None


class _Package(TypedDict):
    name: str
    version: str
    modules: list[str]


class _Environment(TypedDict):
    workers: list[str]
    python: str
    packages: list[_Package]


class _Error(TypedDict):
    name: str
    message: str


class _Each(TypedDict, total=False):
    id: str
    status: int
    error: _Error
    errors: list[dict[str, Any]]
    warnings: list[str]


class Several(TypedDict):
    """What the commands read in the answer to a submit of several jobs."""

    jobs: list[_Each]


class Answer(TypedDict, total=False):
    """What the commands read in an answer or an event, as far as its shape could mislead them."""

    id: str
    kind: str
    state: str | dict[str, Any]
    job: dict[str, Any] | None
    violations: list[dict[str, Any]]
    spec: dict[str, Any] | None
    jobs: list[_Listed]
    count: int
    next: str | None
    programs: list[_Listed]
    devices: list[_Backend]
    environments: list[_Environment]
    warnings: list[str]


def json_in(text: bytes | str) -> Any:
    """The JSON in *text*. Raises `ValueError`, and `RecursionError` where it is too deep."""
    return json.loads(text, parse_constant=_refuse)


def object_in(text: bytes | str, name: str, shape: Any) -> Any:
    """The object of this *shape* in *text* that has a member *name*; raises like `json_in`."""
    value = json_in(text)
    msgspec.convert(value, shape)
    if name not in value:
        raise ValueError(f"there is no {name} in it")
    return value


def refusal(status: int, answer: Mapping[str, Any]) -> AnswerError:
    """What an *answer* with an error says."""
    error = answer["error"]
    violations = tuple(
        Violation(*(str(item.get(name, "")) for name in ("path", "rule", "value", "message")))
        for item in answer.get("errors", ())
        if "path" in item and "rule" in item
    )
    trace = f" (trace {answer['trace']})" if status == 500 and "trace" in answer else ""
    return AnswerError(status, str(error["name"]), str(error["message"]) + trace, violations)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

"""Programs as the API shows them, and what is asked of their list."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.core.catalogue import Shown
from broker.gateway.api.describing import Schema, Time, Whole
from broker.gateway.fleet import Fleet
from schemas import uploads
from schemas.specification import Schemas
from schemas.workers import Package

PAGE = 20  # programs, where the client does not say
MOST = 200


class ProgramsAsked(msgspec.Struct, frozen=True):
    """Which programs are wanted."""

    limit: Annotated[int, Meta(ge=0, description=f"At most so many, and {MOST}.")] = PAGE
    offset: Annotated[int, Meta(ge=0, description="Leave out so many from the start.")] = 0
    name: Annotated[str, Meta(description="Programs of this name.")] = ""
    search: Annotated[
        str, Meta(description="Programs with this in their id, name or description.")
    ] = ""

    def wants(self, shown: Shown) -> bool:
        """Whether *shown* is one of them."""
        told = shown.program.specification
        words = f"{told.id}\n{told.name}\n{told.description}".casefold()
        return self.name in ("", told.name) and self.search.casefold() in words


class Needs(msgspec.Struct, frozen=True):
    """What a program needs of a backend."""

    min_num_qubits: int
    simulator: bool | UnsetType = UNSET


class Spec(msgspec.Struct, frozen=True):
    """What a program takes and gives: JSON Schemas."""

    backend_requirements: Needs
    parameters: dict[str, Any]
    interim_results: dict[str, Any]
    return_values: dict[str, Any]


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program."""

    creation_date: Time | UnsetType = UNSET
    update_date: Time | UnsetType = UNSET
    id: str
    name: str
    description: str
    cost: Annotated[float, Meta(description="The longest that a job may run, in seconds.")]
    is_public: bool
    built_in: Annotated[bool, Meta(description="Does it come with the service?")]
    version: Annotated[
        str, Meta(description="Changes whenever the program does: a hash of what it is.")
    ]
    spec: Spec
    data: Annotated[str, Meta(description="The code, for its author.")] | UnsetType = UNSET
    warnings: tuple[str, ...] | UnsetType = UNSET


class ProgramPage(msgspec.Struct, frozen=True):
    """A page of programs."""

    programs: list[Program]
    count: Whole  # of all, so that clients know when they have them
    limit: Whole
    offset: Whole


class Distribution(msgspec.Struct, frozen=True):
    """A package that is installed."""

    name: str
    version: str
    modules: Annotated[tuple[str, ...], Meta(description="What it is imported by.")]


class Environment(msgspec.Struct, frozen=True):
    """What is installed, on workers that have the same."""

    workers: list[str]
    python: Annotated[str, Meta(description="Its version.")]
    packages: list[Distribution]


class Environments(msgspec.Struct, frozen=True):
    """What programs can import."""

    environments: list[Environment]


_MAY_BE_NULL = {  # which is as good as nothing
    name: schema if name == "data" else {"anyOf": [schema, {"type": "null"}]}
    for name, schema in uploads.FIELDS.items()
}
UPDATE: Schema = {"type": "object", "properties": _MAY_BE_NULL}
UPLOAD: Schema = {
    "type": "object",
    "properties": _MAY_BE_NULL | {"name": uploads.FIELDS["name"]},
    "required": list(uploads.REQUIRED),
}
FORM: Schema = {
    "type": "object",
    "properties": {
        "program": {"type": "string", "format": "binary", "description": "The code, as a file."},
        **{name: schema for name, schema in uploads.FIELDS.items() if name != "data"},
    },
}


def program_object(
    shown: Shown, warnings: Sequence[str] = (), code: bytes | None = None
) -> Program:
    """A program as the API shows it; its *code* is for its author."""
    specification, head = shown.program.specification, shown.head
    return Program(
        creation_date=head.created if head else UNSET,
        update_date=head.updated if head else UNSET,
        id=specification.id,
        name=specification.name,
        description=specification.description,
        cost=_whole(specification.max_execution_time),
        is_public=head is None or head.is_public,
        built_in=head is None,
        version=shown.program.version,
        spec=_spec(specification.spec),
        data=UNSET if code is None else code.decode(),
        warnings=tuple(warnings) or UNSET,
    )


def _spec(spec: Schemas) -> Spec:
    needed = spec.backend_requirements
    simulator = UNSET if needed.simulator is None else needed.simulator
    needs = Needs(needed.min_num_qubits, simulator)
    return Spec(needs, spec.parameters, spec.interim_results, spec.return_values)


def _whole(seconds: float) -> float:
    """As an integer, if it is one: there are clients that read nothing else."""
    return int(seconds) if seconds == int(seconds) else seconds


def environments(fleet: Fleet) -> Environments:
    """What is installed where: each environment once, however many workers have it."""
    workers: dict[tuple[str, tuple[Package, ...]], list[str]] = {}
    for one in fleet.environments:
        workers.setdefault((one.python, one.packages), []).append(one.worker)
    return Environments(
        [
            Environment(
                sorted(names),
                python,
                [Distribution(one.name, one.version, one.modules) for one in packages],
            )
            for (python, packages), names in workers.items()
        ]
    )

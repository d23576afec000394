"""The documents that others build on, made from the code: the messages and their JSON Schemas.

`docs/generate.py` writes them; a test fails when what is written is not what this makes.
Source: JSON Schema Draft 2020-12.
"""

import functools
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas import events, inbox, jobs, ledger, reports, requests, specification, workers
from schemas.values import NOTHING, Reason

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message: its name, the type that it has in the code, its CloudEvents type."""

    name: str
    kind: Any
    type: str
    topic: str
    title: str


def _first_line(kind: Any) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _message(name: str, kind: Any, event_type: str, topic: str) -> Message:
    return Message(name, kind, event_type, topic, _first_line(kind))


REQUESTS, EVENTS, STATE = "qjb.requests.v1", "qjb.events.v1", "qjb.state.v1"
REPORTS, INBOX, STATUS = "qjb.reports.v1", "qjb.inbox.v1", "qjb.status.v1"
DEAD_LETTERS, PROGRAMS = "qjb.dead-letters.v1", "qjb.programs.v1"

MESSAGES: tuple[Message, ...] = (
    _message("submit-job", requests.SubmitJob, "qjb.request.submit", REQUESTS),
    _message("cancel-job", requests.CancelJob, "qjb.request.cancel", REQUESTS),
    _message("delete-job", requests.DeleteJob, "qjb.request.delete", REQUESTS),
    *(
        _message(
            f"event-{str(kind.__struct_config__.tag).replace('_', '-')}",
            kind,
            f"qjb.event.{kind.__struct_config__.tag}",
            EVENTS,
        )
        for kind in events.EVENT_TYPES
    ),
    _message("ledger-claim", ledger.Claim, "qjb.ledger.claim", EVENTS),
    _message("ledger-deletion", ledger.Deletion, "qjb.ledger.deletion", EVENTS),
    _message("job-deletion", ledger.Deletion, "qjb.job.deletion", STATE),
    _message("job-snapshot", jobs.Job, "qjb.job.snapshot", STATE),
    _message("ledger-checkpoint", ledger.Checkpoint, "qjb.ledger.checkpoint", STATE),
    _message("report", reports.Report, "qjb.report.*", REPORTS),
    _message("dispatch", inbox.Dispatch, "qjb.inbox.dispatch", INBOX),
    _message("cancel-attempt", inbox.CancelAttempt, "qjb.inbox.cancel", INBOX),
    _message("heartbeat", workers.Heartbeat, "qjb.status.heartbeat", STATUS),
    _message("backend", workers.BackendAnnounced, "qjb.status.backend", STATUS),
    _message("tick", workers.Tick, "qjb.status.tick", STATUS),
    _message("queue", workers.QueueSnapshot, "qjb.status.queue", STATUS),
    _message("dead-letter", ledger.DeadLetter, "qjb.dead-letter", DEAD_LETTERS),
)
PROGRAM = _message("program", specification.Specification, "qjb.program", PROGRAMS)

CHANNELS: dict[str, tuple[str, str, str]] = {
    # topic: title, key, who writes it and who reads it
    REQUESTS: ("Requests", "job id", "Clients and gateways write, the broker reads."),
    EVENTS: ("The ledger", "tenant/job id", "The active broker writes, everybody may read."),
    STATE: ("Newest states", "tenant/job id", "The active broker writes; compacted."),
    REPORTS: ("Reports", "tenant/job id", "Workers write, the broker reads."),
    INBOX: ("Inboxes", "worker id", "The broker writes, each worker reads its own."),
    STATUS: ("Status", "worker/…, backend/…, broker/…, queue/…", "Workers and brokers write."),
    DEAD_LETTERS: ("Dead letters", "key of the source", "The broker writes, operators read."),
}


_BARE_KIND = {  # what tells requests apart when they are bare JSON, without a CloudEvents type
    "submit-job": {"kind": {"const": "submit", "default": "submit"}},
    "cancel-job": {"kind": {"const": "cancel", "description": "Needed in bare JSON."}},
    "delete-job": {"kind": {"const": "delete", "description": "Needed in bare JSON."}},
}


@functools.cache
def _described(kind: Any) -> Any:
    """*kind* with each field that may hold no JSON at all (`NOTHING`) as an optional one.

    msgspec can not say in a schema that a default is a `Raw`.
    """
    if isinstance(kind, types.UnionType):
        return functools.reduce(operator.or_, map(_described, typing.get_args(kind)))
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind
    fields = [
        (field.encode_name, Any, msgspec.field(default_factory=msgspec.Raw))
        if field.default is NOTHING or isinstance(field.default, msgspec.Raw)
        else (field.encode_name, _described(field.type), _default(field))
        for field in msgspec.structs.fields(kind)
    ]
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__,
        fields,
        namespace={"__doc__": kind.__doc__},
        tag=config.tag,
        tag_field=config.tag_field,
        array_like=config.array_like,
        kw_only=True,
    )


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.field(default=field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field()


def json_schema(message: Message) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of *message*'s value."""
    schema = msgspec.json.schema(_described(message.kind), ref_template="#/$defs/{name}")
    schema = _portable(schema)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    top = dict(definitions[reference]) if reference in definitions else schema
    if message.topic == REQUESTS:
        top["properties"] = {**_BARE_KIND[message.name], **top["properties"]}
        if "params" in top["properties"]:
            del top["properties"]["unknown_fields"]  # what a gateway tells the broker
            top["properties"]["params"] = {"type": "object", "default": {}}
            top["properties"] = _with_null(top["properties"], top["required"])
    used = _referred(top, definitions)
    return {
        "$schema": DIALECT,
        "$id": f"urn:qjb:schema:{message.name}:v1",
        "title": message.name,
        "description": message.title,
        **{key: value for key, value in top.items() if key not in ("title", "description")},
        **({"$defs": {name: definitions[name] for name in sorted(used)}} if used else {}),
    }


def _with_null(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """*properties* of a submit, whose optional fields may all be null."""
    null = {"type": "null"}
    found = dict(properties)
    for name, part in properties.items():
        if name not in (*required, "kind") and null not in part.get("anyOf", ()):
            plain = {word: value for word, value in part.items() if word != "default"}
            found[name] = {"anyOf": [plain, null], "default": part["default"]}
    return found


def _portable(schema: Any) -> Any:
    """*schema* as JSON Schema has it: without OpenAPI's `discriminator`, patterns as everywhere."""
    if isinstance(schema, dict):
        return {
            key: _portable(value)
            for key, value in schema.items()
            if not (key == "discriminator" and isinstance(value, dict) and "propertyName" in value)
        }
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    return schema.replace(r"\Z", "$") if isinstance(schema, str) else schema


def _referred(schema: Any, definitions: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            name = str(item.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in found:
                found.add(name)
                stack.append(definitions[name])
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return found


def reasons() -> list[str]:
    """Every reason code, in the order of the code."""
    return [str(reason) for reason in Reason]

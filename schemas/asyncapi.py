"""The AsyncAPI document: channels, messages with their headers, and where large payloads are.

Sources: AsyncAPI 3.0.0 and its Kafka bindings 0.5.0. Its schemas are of JSON Schema Draft 7.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from schemas.limits import INLINE, KIB
from schemas.published import MESSAGES, json_schema
from schemas.sessions import SESSION_EVENT_TYPES
from schemas.tenants import TENANT_PATTERN
from schemas.topics import (
    DEAD_LETTERS,
    EVENTS,
    REQUESTS,
    STATE,
    TOPICS,
    Message,
    Topic,
    events_of,
    parted,
    requests_of,
)

VERSION = "1.0.0"
BINDING = "0.5.0"

Json: TypeAlias = dict[str, Any]
AnyTopic: TypeAlias = Topic[Any, ...]

_NUMBER: Json = {"type": "string", "pattern": "^[0-9]+$"}
_TEXT: Json = {"type": "string"}
_CLOUD_EVENT: Json = {
    "type": "object",
    "description": "The attributes of a CloudEvent, in Kafka's binary mode.",
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The same for the same record written again."},
        "ce_source": {"type": "string", "examples": ["/qjb"]},
        "ce_type": {"type": "string"},
        "ce_subject": {
            "type": "string",
            "description": "The id of the job or session, where there is one.",
        },
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C Trace Context."},
    },
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
}
_STRUCTURED = _TEXT | {"description": "application/cloudevents+json in structured mode."}
_EPOCH = _NUMBER | {
    "description": "Of the broker that wrote it: skip those below the newest claim."
}
_SEQ = _NUMBER | {
    "description": "Which of the job's or session's events: skip what is not the next."
}
_ATTEMPT = _NUMBER | {"description": "Which try at running the job, 0 before the first."}
_EVENT_HEADERS: Json = {"qjb-seq": _SEQ, "qjb-epoch": _EPOCH, "qjb-attempt": _ATTEMPT}
_HEADERS: dict[str, Json] = {  # by topic or, before that, message: those beside the CloudEvent's
    EVENTS.name: _EVENT_HEADERS,
    REQUESTS.name: {"content-type": _STRUCTURED},
    "ledger-claim": {"qjb-epoch": _EPOCH},
    "ledger-deletion": {"qjb-epoch": _EPOCH},
    "ledger-tagging": {"qjb-epoch": _EPOCH},
    "job-deletion": {
        "qjb-seq": _NUMBER,
        "qjb-epoch": _EPOCH,
        "qjb-terminal": {"const": "1"},
        "qjb-deleted": {"const": "1"},
    },
    "ledger-checkpoint": {"qjb-epoch": _EPOCH},
    "session-snapshot": {
        "qjb-session": {"const": "1"},
        "qjb-seq": _SEQ,
        "qjb-epoch": _EPOCH,
        "qjb-terminal": {"type": "string", "enum": ["0", "1"]},
    },
    "job-snapshot": {
        "qjb-seq": _SEQ,
        "qjb-epoch": _EPOCH,
        "qjb-terminal": {"type": "string", "enum": ["0", "1"]},
    },
    DEAD_LETTERS.name: {
        "qjb-code": _TEXT | {"description": "What was wrong, as a stable code."},
        "qjb-message": _TEXT | {"description": "The same in words."},
    },
}
_MAY: dict[str, Json] = {  # those that may be missing
    EVENTS.name: {
        "qjb-report": _NUMBER | {"description": "The worker's report that led to it."},
        "qjb-in": _TEXT | {"description": "The record that led to it, as topic:partition:offset."},
    },
    DEAD_LETTERS.name: {
        "qjb-source": _TEXT | {"description": "Where the record was, as topic:partition:offset."},
        "qjb-cut": _TEXT | {"description": "The sizes that it had, if only its beginning is kept."},
    },
}
_MIRRORED: Json = {
    "qjb-ledger": {
        "type": "string",
        "pattern": "^[0-9]+:[0-9]+$",
        "description": "On a tenant's own topic alone: where it stands on the ledger, as"
        " partition:offset.",
    },
    "qjb-reached": _TEXT
    | {"description": "On a tenant's own topic alone: how far it has come, for brokers."},
}
_NO_KEY = _NOT_MIRRORED = {"ledger-claim"}
BLOB_STORE: Json = {
    "description": (
        f"Payloads above {INLINE // KIB} KiB are in the blob store that QJB_BLOBS names (a folder, or a prefix"
        " in an S3, GCS or Azure bucket), and messages carry a reference to them: `value_ref`,"
        " `params_ref`. The name of an object follows from its content, so it never changes once"
        " it is there."
    ),
    "path": "sha256/{the first 2 digits}/{the other 62 digits}",
    "sha256": "SHA-256 over the bytes as they are stored, 64 lower-case hexadecimal digits",
    "size": "number of those bytes",
    "media_type": "what they are: application/json in UTF-8, neither packed nor wrapped",
    "check": "compare size and SHA-256 after reading; what differs is damaged",
    "example": {
        "reference": {
            "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "size": 5,
            "media_type": "application/json",
        },
        "path": "sha256/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    },
}


_INFO: Json = {
    "title": "Quantum job broker",
    "version": VERSION,
    "description": (
        "Job requests in, job events out, on Apache Kafka. Records are CloudEvents 1.0 in"
        " Kafka's binary mode; requests may also be structured CloudEvents or bare JSON,"
        " which needs no headers at all. "
    )
    + str(BLOB_STORE["description"]),
    "license": {"name": "Apache-2.0"},
}
_SERVER: Json = {
    "host": "localhost:9092",
    "protocol": "kafka",
    "description": "Any Apache Kafka from 3.0 on; docs/operations.md says how to get in.",
}
_TENANT = "alpha"  # an example
_OF_TENANTS: Mapping[str, tuple[AnyTopic, str]] = {  # by channel: such a topic, and what it is
    "requests-of-tenant": (
        requests_of(_TENANT),
        "Where a tenant other than `default` asks: the name of the topic says whose a job is.",
    ),
    "events-of-tenant": (
        events_of(_TENANT),
        "What the ledger says of one tenant, told again for whom that was turned on.",
    ),
}
_OPERATIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        "submitOrCancel",
        "receive",
        REQUESTS.name,
        "Ask for a job, or for its end. The answer is an event.",
    ),
    (
        "submitOrCancelAsTenant",
        "receive",
        "requests-of-tenant",
        "The same, for a tenant of its own.",
    ),
    (
        "publishEvents",
        "send",
        EVENTS.name,
        "Everything that happens to a job, in order, numbered per job.",
    ),
    (
        "publishEventsOfTenant",
        "send",
        "events-of-tenant",
        "Everything that happens to the jobs of one tenant.",
    ),
    ("publishStates", "send", STATE.name, "The newest state of each job, with the final result."),
    (
        "publishDeadLetters",
        "send",
        DEAD_LETTERS.name,
        "What nobody could read, and jobs whose last attempt failed.",
    ),
)


def document(examples: Mapping[str, Any], setups: Mapping[str, Json]) -> Json:
    """The document; *examples* are JSON values by message name, *setups* are of topics by theirs."""
    topics = [topic for topic in TOPICS.values() if topic.who]
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "servers": {"kafka": _SERVER},
        "channels": {topic.name: _channel(topic, setups[topic.name]) for topic in topics}
        | {name: _of_tenant(*each, setups) for name, each in _OF_TENANTS.items()},
        "operations": {
            name: {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": summary,
            }
            for name, action, channel, summary in _OPERATIONS
        },
        "components": {
            "schemas": {"CloudEvent": _CLOUD_EVENT, **_shared()},
            "messages": {
                message.name: _message(topic, message, examples[message.name])
                for topic in topics
                for message in topic.messages
            },
        },
        "x-blob-store": BLOB_STORE,
    }


def _channel(topic: AnyTopic, setup: Json) -> Json:
    return {
        "address": topic.name,
        "title": topic.title,
        "description": f"{topic.who} Record key: {topic.key}.",
        "messages": {
            message.name: {"$ref": f"#/components/messages/{message.name}"}
            for message in topic.messages
        },
        "bindings": {"kafka": {"topic": topic.name, **setup, "bindingVersion": BINDING}},
    }


def _of_tenant(topic: AnyTopic, description: str, setups: Mapping[str, Json]) -> Json:
    """The channel of all topics that are as *topic* is, each of one tenant."""
    kind, _ = parted(topic.name)
    channel = _channel(topic, setups[kind] | {"partitions": topic.partitions})
    del channel["bindings"]["kafka"]["topic"]  # each has its own name
    return channel | {
        "address": f"{kind}.{{tenant}}",
        "title": f"{topic.title} of a tenant",
        "description": f"{description} Record key: {topic.key}.",
        "parameters": {
            "tenant": {
                "description": f"The tenant's name, which matches {TENANT_PATTERN}".replace(
                    r"\Z", "$"
                ),
                "examples": [_TENANT],
            }
        },
        "messages": {n: m for n, m in channel["messages"].items() if n not in _NOT_MIRRORED},
    }


def _message(topic: AnyTopic, message: Message, example: Any) -> Json:
    payload = {
        word: value
        for word, value in json_schema(message).items()
        if word not in ("$defs", "$schema", "$id")  # an $id would be what $refs start from
    }
    key = {"key": {"type": "string", "description": topic.key}}
    return {
        "name": message.name,
        "title": message.name,
        "summary": message.title,
        "contentType": "application/json",
        "headers": _headers(topic, message),
        "payload": _of_draft_7(payload),
        "bindings": {
            "kafka": {**({} if message.name in _NO_KEY else key), "bindingVersion": BINDING}
        },
        "examples": [{"name": message.name, "payload": example}],
    }


def _headers(topic: AnyTopic, message: Message) -> Json:
    """The schema of a record's headers. A request as bare JSON has none."""
    own = _HEADERS.get(message.name, _HEADERS.get(topic.name, {}))
    if message.kind in SESSION_EVENT_TYPES:  # no attempt
        own = {name: own[name] for name in ("qjb-seq", "qjb-epoch")}
    may = {} if message.name in _HEADERS else _MAY.get(topic.name, {})
    if topic is EVENTS and message.name not in _NOT_MIRRORED:
        may = may | _MIRRORED
    fixed = {"const": message.type}
    if message.type.endswith("*"):
        fixed = {"pattern": f"^{message.type[:-1]}[a-z_]+$".replace(".", r"\.")}
    names = {"type": "object", "properties": {"ce_type": {"type": "string", **fixed}, **own, **may}}
    if topic is REQUESTS:
        return names | {"properties": _CLOUD_EVENT["properties"] | names["properties"]}
    event = {"$ref": "#/components/schemas/CloudEvent"}
    return {"allOf": [event, names | {"required": ["ce_type", *own]}]}


def _shared() -> Json:
    """What several messages refer to."""
    found: Json = {}
    for message in MESSAGES:
        found |= json_schema(message).get("$defs", {})
    return {name: _of_draft_7(found[name]) for name in sorted(found)}


def _of_draft_7(schema: Any) -> Any:
    """*schema* with references into this document, and lists of fixed length as Draft 7 has them."""
    if isinstance(schema, list):
        return [_of_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {word: _of_draft_7(value) for word, value in schema.items() if word != "prefixItems"}
    if "prefixItems" in schema:
        found["items"] = _of_draft_7(schema["prefixItems"])
    if "$ref" in schema:
        found["$ref"] = schema["$ref"].replace("#/$defs/", "#/components/schemas/")
    return found

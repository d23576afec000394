"""What answers and messages are made of, as the API's description has it."""

from typing import Any

from broker import errors
from broker.gateway.api.describing import (
    NUMBER,
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_object,
    or_null,
    ref,
    text,
)
from schemas import published, topics
from schemas.batches import MOST_JOBS
from schemas.values import State

EVENTS = topics.EVENTS.messages


def schemas() -> dict[str, Schema]:
    """All of them, by name."""
    kinds = [_component(message.name) for message in EVENTS if message.name != "ledger-claim"]
    submits = an_object("jobs", jobs=a_list(ref("SubmitJob")) | {"maxItems": MOST_JOBS})
    return {
        **_messages(),
        "Event": {
            "description": "What happened to a job. Kinds that a reader does not know are to be ignored.",
            "anyOf": [ref(kind) for kind in kinds],
        },
        "SubmitJobs": submits | {"additionalProperties": False},
        "Error": _error(),
        "Job": _job(),
        "JobPage": _job_page(),
        "JobEventPage": _event_page(
            WHOLE, YES_OR_NO | {"description": "Nothing follows."}, ref("JobSnapshot")
        ),
        "EventPage": _event_page(
            text(), {"const": False}, an_object("from to", **{"from": text(), "to": text()})
        ),
        "Queue": _queue(),
        "Backend": _backend(),
        "BackendStatus": _backend_status(),
    }


def _job_page() -> Schema:
    return an_object(
        "jobs count limit offset next whole",
        jobs=a_list(ref("Job")),
        count=WHOLE | {"description": "How many match in all."},
        limit=WHOLE
        | {
            "description": "As asked for, at most 200; less if the page was cut short, as its jobs"
            " are large. `offset` + `limit` is where the next page begins."
        },
        offset=WHOLE | {"description": "How many of them come before these."},
        next=or_null(text("The `cursor` of the next page; null at the end.")),
        whole=YES_OR_NO
        | {
            "description": "False while a gateway has read only the newest events: `count` and"
            " `next` are of what is here so far."
        },
    )


def _event_page(position: Schema, terminal: Schema, gap: Schema) -> Schema:
    return an_object(
        "events next terminal",
        events=a_list(ref("Event")),
        next=position | {"description": "The position to ask on from."},
        terminal=terminal,
        gap=gap,
    )


def _backend() -> Schema:
    return an_object(
        "name status queue_length qubits",
        name=text(),
        status=an_object("name reason", name=text(enum=["online", "offline"]), reason=text()),
        queue_length=WHOLE,
        qubits=WHOLE,
        **{"class": text("What runs nothing is a `mock`.", enum=["mock"])},
        simulator=YES_OR_NO,
        is_simulator=YES_OR_NO | {"description": "The same, by its newer name."},
        description=text(),
        sandbox=text() | {"description": "In which uploaded programs run; empty: none do."},
    )


def _backend_status() -> Schema:
    return an_object(
        "state status length_queue backend_version",
        state=YES_OR_NO,
        status=text(enum=["active", "offline"]),
        message=text(),
        length_queue=WHOLE,
        backend_version=text(),
        running=WHOLE,
        slots=WHOLE,
    )


def _component(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def _messages() -> dict[str, Schema]:
    """The messages that the API carries, and what they are made of."""
    found: dict[str, Schema] = {}
    for message in published.MESSAGES:
        if message in EVENTS or message.name in ("job-snapshot", "submit-job"):
            schema = published.json_schema(message)
            for name, part in schema.pop("$defs", {}).items():
                found[name] = _moved(part)
            plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
            found[_component(message.name)] = _moved(plain)
    found.pop("LedgerClaim", None)
    found["SubmitJob"]["properties"].pop("kind", None)  # a path says what is asked
    return found


def _moved(schema: Any) -> Any:
    """*schema* with its references pointing to where components are."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


def _error() -> Schema:
    codes = sorted(
        {
            kind.code
            for kind in vars(errors).values()
            if isinstance(kind, type) and hasattr(kind, "code")
        }
    )
    detail = an_object(
        "code message",
        code=text(f"A stable code, such as {', '.join(codes[:6])}."),
        message=text(),
        path=text("JSON pointer into the request."),
        rule=text("The rule that was broken, and what it demands."),
        value=text("The offending value, shortened."),
    )
    return an_object(
        "error errors trace",
        error=an_object("code message name", code=text(), message=text(), name=text()),
        errors=a_list(detail),
        trace=text("Names this request in the logs."),
    )


def _job() -> Schema:
    statuses = ["Queued", "Running", "Completed", "Failed", "Cancelled"]
    return an_object(
        "id status state backend hub group project program created tags seq attempt terminal",
        id=text(),
        status=text("As clients until 2022 read it.", enum=[*statuses, "Cancelled - Ran too long"]),
        state=an_object(
            "status", status=text(enum=statuses), reason=text(), reasonCode={"type": "integer"}
        ),
        backend=text(),
        hub=text(),
        group=text(),
        project=text(),
        program=an_object("id", id=text()),
        created=text(format="date-time"),
        ended=or_null(text(format="date-time")),
        tags=a_list(text()),
        session_id=or_null(text()),
        estimated_running_time_seconds=or_null(
            NUMBER | {"description": "In the look at one job: what jobs there took lately."}
        ),
        cost=WHOLE | {"description": "The time limit, in seconds; 0 for what was rejected."},
        private=YES_OR_NO,
        seq=WHOLE | {"description": "The number of its newest event."},
        attempt=WHOLE,
        terminal=YES_OR_NO,
        reason=or_null(text()),
        violations=a_list(ref("Violation")),
        params={"type": "object"},
    )


def _queue() -> Schema:
    return an_object(
        "job_id state waiting backend backend_online position ahead queued running slots",
        job_id=text(),
        state=text(enum=[state.value for state in State]),
        waiting=YES_OR_NO,
        backend=text(),
        backend_online=YES_OR_NO,
        position=or_null(WHOLE) | {"description": "1 is next; null: too far back to say."},
        ahead=or_null(WHOLE),
        queued=WHOLE,
        running=WHOLE,
        slots=WHOLE,
        estimated_wait_seconds=or_null(NUMBER)
        | {"description": "A guess, from how long the latest jobs took."},
    )

"""What answers and messages are made of, as the API's description has it."""

from typing import Any

from broker.gateway.api.describing import (
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_object,
    ref,
    text,
)
from schemas import published, topics

EVENTS = topics.EVENTS.messages
_NO_EVENTS = ("ledger-claim", "ledger-tagging")  # nobody is told of them


def schemas() -> dict[str, Schema]:
    """All of them, by name."""
    kinds = [_component(message.name) for message in EVENTS if message.name not in _NO_EVENTS]
    return {
        **_messages(),
        "Event": {
            "description": "What happened to a job. Kinds that a reader does not know are to be ignored.",
            "anyOf": [ref(kind) for kind in kinds],
        },
        "JobEventPage": _event_page(
            WHOLE, YES_OR_NO | {"description": "Nothing follows."}, ref("JobSnapshot")
        ),
        "EventPage": _event_page(
            text(), {"const": False}, an_object("from to", **{"from": text(), "to": text()})
        ),
        "Backend": _backend(),
    }


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
    for name in _NO_EVENTS:
        found.pop(_component(name), None)
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

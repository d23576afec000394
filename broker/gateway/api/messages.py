"""The messages that the API carries, as its description names them."""

from collections.abc import Mapping
from typing import Any

from broker.gateway.api.describing import Schema, ref
from schemas.published import component, components
from schemas.topics import EVENTS, REQUESTS, STATE, Message

_NOT_TOLD = ("ledger-claim", "ledger-tagging")  # nobody is told of them
_TOLD = [message for message in EVENTS.messages if message.name not in _NOT_TOLD]


def _named(name: str, messages: tuple[Message, ...]) -> Message:
    return next(message for message in messages if message.name == name)


_SUBMIT = _named("submit-job", REQUESTS.messages)
_SNAPSHOT = _named("job-snapshot", STATE.messages)
EVENT, SNAPSHOT = "Event", component(_SNAPSHOT)
NAMES: Mapping[Any, str] = {_SUBMIT.kind: component(_SUBMIT)}  # of types that routes name


def schemas() -> dict[str, Schema]:
    """All of them, by name."""
    found = components([_SUBMIT, _SNAPSHOT, *_TOLD])
    found[NAMES[_SUBMIT.kind]]["properties"].pop("kind", None)  # a path says what is asked
    return found | {
        EVENT: {
            "description": "What happened to a job. Kinds that a reader does not know are to be"
            " ignored.",
            "anyOf": [ref(component(message)) for message in _TOLD],
        }
    }

"""Events page by page, and what is asked of them whether they come as a page or as a stream."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from broker.gateway.api.asked_of_jobs import Chosen
from broker.gateway.api.asking import REPEATED
from broker.gateway.api.describing import ref
from broker.gateway.api.messages import EVENT, SNAPSHOT

# What is asked. Where to go on from stands in the URL under many names: `last_id` reads it.

LastId: TypeAlias = Annotated[
    str,
    Meta(
        description="What `Last-Event-ID` says, for clients that can not send the header."
        " `lastEventId`, `Last-Event-ID` and `evs_last_event_id` mean this, too; of several, the"
        " last counts. The header beats them.",
        extra=REPEATED,
    ),
]
After: TypeAlias = Annotated[
    str, Meta(description="Pages: go on after this position.", extra=REPEATED)
]
Wait: TypeAlias = Annotated[
    float, Meta(ge=0, description="Pages: wait so many seconds for an event (at most 60).")
]


class EventsAsked(msgspec.Struct, frozen=True):
    """Which events of a job are wanted."""

    last_event_id: LastId = ""
    after: After = ""
    wait: Wait = 0.0


class EventsOfManyAsked(Chosen, frozen=True, kw_only=True):
    """Of which jobs the events are wanted, and which of them."""

    last_event_id: LastId = ""
    after: After = ""
    wait: Wait = 0.0


# What is answered

Events: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": ref(EVENT)})]


class JobEventPage(msgspec.Struct, frozen=True):
    """Events of a job."""

    events: Events
    next: Annotated[int, Meta(ge=0, description="The position to ask on from.")]
    terminal: Annotated[bool, Meta(description="Nothing follows.")]
    gap: (
        Annotated[
            Raw,
            Meta(
                description="The job as it stands: what came before is not kept any more.",
                extra_json_schema=ref(SNAPSHOT),
            ),
        ]
        | UnsetType
    ) = UNSET


class Gap(msgspec.Struct, frozen=True, rename={"start": "from", "stop": "to"}):
    """Positions between which events are not kept any more."""

    start: str
    stop: str


class EventPage(msgspec.Struct, frozen=True):
    """Events of all jobs that match."""

    events: Events
    next: Annotated[str, Meta(description="The position to ask on from.")]
    terminal: Annotated[bool, Meta(extra_json_schema={"const": False})]
    gap: Annotated[Raw, Meta(extra_json_schema=ref(Gap.__name__))] | UnsetType = UNSET


def events_in(values: Sequence[bytes]) -> Raw:
    """*values*, each an event in JSON, as a page has them: they may be many, and large."""
    return Raw(b"[%b]" % b",".join(values))

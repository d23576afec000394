"""Positions as text: they mean the same on every gateway.

On a job's stream an id is the number of the last event seen. On a stream of many jobs it is a
vector: for each partition of the ledger the offset to go on from, as in `0.12-1.7`. The cursor of
a list names the last job that was listed, and the list.
"""

import enum
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b

from broker.errors import InvalidRequestError
from broker.gateway.filters import JobFilter, Key
from schemas.checking import shown
from schemas.cloudevents import encode
from schemas.values import Violation

MAX_LENGTH = 8000  # characters: what a line of a request's head may hold
_NUMBER = re.compile(r"[0-9]{1,18}")
_VECTOR = re.compile(r"([0-9]{1,5})\.([0-9]{1,18})(?:-|$)")


Vector = dict[int, int]


class Edge(enum.Enum):
    """Positions that have no number."""

    START = "start"  # of what is kept
    NOW = "now"


def parse_seq(text: str) -> int | Edge:
    """A position on a job's stream: `start`, `now` or a number. Raises `InvalidRequestError`."""
    if edge := _edge(text):
        return edge
    if not _NUMBER.fullmatch(text):
        raise _malformed(text, "a number, start or now")
    return int(text)


def parse_vector(text: str, partitions: int) -> Vector | Edge:
    """A position on a stream of many jobs, for a ledger of so many partitions.

    A partition that *text* does not name is read from its start: it was not there then.
    """
    if edge := _edge(text):
        return edge
    vector: Vector = {}
    end = 0
    if len(text) <= MAX_LENGTH:
        while (found := _VECTOR.match(text, end)) and int(found[1]) not in vector:
            vector[int(found[1])] = int(found[2])
            end = found.end()
    if not vector or end != len(text) or text.endswith("-") or max(vector) >= partitions:
        raise _malformed(text, "start, now or a vector such as 0.12-1.7")
    return {partition: vector.get(partition, 0) for partition in range(partitions)}


def vector_id(vector: Mapping[int, int]) -> str:
    """*vector* as an event id."""
    return "-".join(f"{partition}.{vector[partition]}" for partition in sorted(vector))


class Positions(dict[int, int]):
    """A vector that moves on, with its event id at hand."""

    def __init__(self, vector: Mapping[int, int]) -> None:
        super().__init__(vector)
        self._named = {p: f"{p}.{vector[p]}" for p in sorted(vector)}

    def __setitem__(self, partition: int, offset: int) -> None:
        """The partition is read from *offset* on."""
        super().__setitem__(partition, offset)
        self._named[partition] = f"{partition}.{offset}"

    @property
    def ident(self) -> str:
        """What `vector_id` says of it."""
        return "-".join(self._named.values())


def _edge(text: str) -> Edge | None:
    return next((edge for edge in Edge if edge.value == text), None)


def _malformed(text: str, wanted: str) -> InvalidRequestError:
    return InvalidRequestError(f"event id {text[:60]!r} is not {wanted}")


def list_cursor(wanted: JobFilter, ascending: bool, last: Key) -> str:
    """Where the list of those jobs goes on behind the job *last*."""
    text = " ".join((*last, _stamp(wanted, ascending, last)))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_list_cursor(text: str, wanted: JobFilter, ascending: bool, called: str = "cursor") -> Key:
    """The last job that was listed. *called*: as what it was sent. Raises `InvalidRequestError`."""
    try:
        plain = b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
        created, job_id, stamp = plain.decode("ascii").split(" ")
    except ValueError:
        stamp = created = job_id = ""
    if stamp != _stamp(wanted, ascending, (created, job_id)):
        why = "is not the `next` of a page with these filters and this order"
        message = f"{called}: {text[:60]!r} {why}"
        broken = Violation(f"/{called}", "next", shown(text), message)
        raise InvalidRequestError(message, [broken])
    return created, job_id


def _stamp(wanted: JobFilter, ascending: bool, last: Key) -> str:
    """Tells the cursor of that list and job from others, and from what is none."""
    asked = replace(wanted, tags=tuple(sorted(wanted.tags))), ascending, last
    return blake2b(encode(asked), digest_size=6).hexdigest()

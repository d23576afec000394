"""What a worker and the process of a device say to each other: a line of JSON, then bytes."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from executors.backends.described import DescribedDevice
from schemas.sessions import Mode
from schemas.workers import BackendAnnounced

SAME_JOB = 16  # characters with which the tags of all calls of one job begin

Verb = Literal["describe", "submit", "wait", "cancel", "find", "calibrate", "close_session"]


class VendorSession(msgspec.Struct, frozen=True):
    """Where a vendor that has sessions keeps the calls of one session here together."""

    tag: (
        str  # of all its jobs: whichever process meets one of them knows the vendor's session by it
    )
    mode: Mode
    left: float = 0.0  # s until the one here is over


class Ask(msgspec.Struct, frozen=True):
    """Do it for that tag or vendor's job; behind it stands what is to be run."""

    verb: Verb
    about: str = ""
    session: VendorSession | None = None


class Description(msgspec.Struct, frozen=True):
    """The device, as its vendor has it now."""

    announced: BackendAnnounced
    device: DescribedDevice


class Meter(msgspec.Struct, frozen=True):
    """What a vendor's job has taken and cost; None where the vendor does not say."""

    device_seconds: float | None = None
    cost: float | None = None
    currency: str | None = None


class Told(msgspec.Struct, frozen=True):
    """An answer, or a `note` before it; behind it stand outcomes or a description."""

    kind: Literal["done", "note", "refused", "away", "lost", "can_not_say", "broken"]
    message: str = ""
    meter: Meter = Meter()


class VendorError(Exception):
    """The vendor did not do as asked."""

    kind: Literal["refused", "away", "lost", "can_not_say", "broken"] = "broken"


class RefusedError(VendorError):
    """It never will, however often it is asked."""

    kind = "refused"


class AwayError(VendorError):
    """Not now, and nothing has begun: it is not reached, is busy, or is being maintained."""

    kind = "away"


class LostError(VendorError):
    """Nobody knows whether it did: the answer was lost."""

    kind = "lost"


class EndedError(LostError):
    """Nobody knows: the process of the device has ended meanwhile."""


class ClosedError(VendorError):
    """Nobody here asks it any more."""


class CanNotSayError(VendorError):
    """It has no way to tell."""

    kind = "can_not_say"


ERRORS: Mapping[str, type[VendorError]] = {
    each.kind: each for each in (RefusedError, AwayError, LostError, CanNotSayError)
}


def joined(head: Ask | Told, body: bytes = b"") -> bytes:
    """As it travels."""
    return msgspec.json.encode(head) + b"\n" + body

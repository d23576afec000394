"""What a child says, as far as its parent believes it: it may be a program that speaks."""

import msgspec
from msgspec.structs import replace

from schemas.reports import Raised, Withheld
from schemas.values import NOTHING, Reason

MOST_CHECKED = 1024 * 1024  # bytes; checking that takes 3 ms

_FAULTS = frozenset(  # as what a child may say that its attempt has failed
    {
        Reason.INVALID_INPUTS,
        Reason.UNKNOWN_PROGRAM,
        Reason.PROGRAM_ERROR,
        Reason.INVALID_RESULT,
        Reason.OUT_OF_MEMORY,
        Reason.BACKEND_ERROR,
    }
)

_raised = msgspec.json.Decoder(Raised)
_withheld = msgspec.json.Decoder(Withheld)
_raw = msgspec.json.Decoder(msgspec.Raw)


def is_json(payload: bytes) -> bool:
    """Whether *payload* may stand in a message. A large one goes by reference, as it is."""
    if len(payload) > MOST_CHECKED:
        return True
    try:
        if not payload.isascii():
            payload.decode()
        _raw.decode(payload)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return False
    return True


def raised_of(payload: bytes) -> Raised | None:
    """How the attempt has failed, with what it kept; None if *payload* says no such thing."""
    line, _, value = payload.partition(b"\n")
    if len(line) > MOST_CHECKED:
        return None
    try:
        raised = _raised.decode(line)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None
    if raised.reason not in _FAULTS or (value and not is_json(value)):
        return None
    kept = msgspec.Raw(value) if value else NOTHING
    return replace(raised, value=kept, value_ref=None)  # references are ours to make


def withheld_of(payload: bytes) -> Withheld | None:
    """What was withheld, and why; None if *payload* says no such thing."""
    if len(payload) > MOST_CHECKED:
        return None
    try:
        return _withheld.decode(payload)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None

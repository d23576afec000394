"""JSON as the local copy stores it: what is usual, and what the job's row has anyway, left out.

JSON has no control characters but tabs and line ends, so each of the others can stand for a
phrase. Of a job that does little this leaves a sixth.
"""

import zlib
from collections.abc import Sequence

CODES = [bytes([code]) for code in range(1, 32) if code not in b"\t\n\r"]
Own = Sequence[tuple[bytes, bytes]]  # codes and phrases of one job
SHORT = 6  # bytes: what is not longer is left as it is
HEAD = 2048  # bytes: what is usual is looked for at the start only, as values can be long

_IN_BOTH = (
    b'"state":"queued","terminal":false',
    b'"state":"completed","terminal":true',
    b',"attempt":1,',
    b'"backend":"aer_simulator"',
    b',"instance":"',
    b'"value":',
)
_IN_EVENTS = (b'{"kind":"', b'","job_id":"', b'"state":"running","terminal":false', b',"time":"')
_IN_STATES = (
    b'{"tenant":"default","job_id":"',
    b',"created":"',
    b',"program_id":"',
    b',"reports":2,"started":"',
    b',"ended":"',
    b',"traceparent":"00-',
)
_USUAL = tuple(zip(CODES, _IN_BOTH + _IN_EVENTS + _IN_STATES, strict=False))
EVENT = _USUAL[: len(_IN_BOTH + _IN_EVENTS)]
STATE = _USUAL[: len(_IN_BOTH)] + _USUAL[len(EVENT) :]
_OWN = CODES[len(_USUAL) :]  # for phrases of the job
DICTIONARY = f"{zlib.crc32(repr(_USUAL).encode()):08x}"  # no other one can read what it wrote


SEAL = 4  # bytes
_SEALED = 0x2144DF1C  # the CRC-32 of whatever has its own behind it


def seal(text: bytes, row: int) -> bytes:
    """What stands behind what is kept of *text* in that *row*, and tells whether it still says so.

    Pages carry checksums, which do not say that they stand in their own place.
    """
    return zlib.crc32(text, (row + 1) & 0xFFFFFFFF).to_bytes(SEAL, "little")


def is_sealed(kept: bytes, row: int) -> bool:
    """Whether *kept* is a text of that *row* with its seal behind it."""
    return zlib.crc32(kept, (row + 1) & 0xFFFFFFFF) == _SEALED


def own_phrases(job_id: str, created: str, details: bytes | None, value: bytes | None) -> Own:
    """Phrases that never change in a job, long ones first; a time shares its start with others.

    *value*: of a job that has ended. Without *details* it may turn out to be older.
    """
    moment = created.encode() if details else b""
    phrases = (details or b"", value or b"", job_id.encode(), moment, moment[:14])  # to the hour
    pairs = zip(_OWN, phrases, strict=False)
    return [(code, phrase) for code, phrase in pairs if len(phrase) > SHORT]


def pack(text: bytes, own: Own, usual: Own) -> bytes:
    """*text*, which is valid JSON, for `unpack` with the same phrases of its job."""
    for code, phrase in own:
        text = text.replace(phrase, code)
    head, rest = text[:HEAD], text[HEAD:]
    for code, phrase in usual:
        head = head.replace(phrase, code)
    return head + rest


def unpack(packed: bytes, own: Own) -> bytes:
    """What was packed."""
    for code, phrase in (*_USUAL, *own):
        packed = packed.replace(code, phrase)
    return packed

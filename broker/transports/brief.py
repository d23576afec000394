"""Headers as the embedded log stores them for good: what is always the same takes a byte.

Most of a record's headers are known words, or name its key again.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.records import Headers

_MARK = b"\xc1"  # begins nothing in MessagePack
_NAMES = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "content-type",
    "traceparent",
    "qjb-seq",
    "qjb-epoch",
    "qjb-terminal",
    "qjb-deleted",
)  # only ever longer: what is stored counts on the places
_WHOLE = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/qjb"),
    ("content-type", b"application/json"),
    ("ce_type", b"qjb.job.snapshot"),
    ("qjb-terminal", b"0"),
    ("qjb-terminal", b"1"),
)  # like those
_NUMBER_OF_NAME = {name: number for number, name in enumerate(_NAMES)}
_NUMBER_OF_WHOLE = {header: number for number, header in enumerate(_WHOLE)}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def brief(headers: Headers, key: bytes) -> bytes:
    """*headers* of a record with *key*; `in_full` makes them of it again."""
    short: list[int | tuple[Any, ...]] = []
    for header in headers:
        if (whole := _NUMBER_OF_WHOLE.get(header)) is not None:
            short.append(whole)
            continue
        name, value = header
        named = _NUMBER_OF_NAME.get(name, name)
        if key and value.startswith(key):
            short.append((named, value[len(key) :], 0))
        elif value and key.endswith(value):
            short.append((named, len(key) - len(value), 1))
        else:
            short.append((named, value))
    return _MARK + _encode(short)


def is_brief(stored: bytes) -> bool:
    """Whether *stored* was made by `brief`."""
    return stored.startswith(_MARK)


def in_full(stored: bytes, key: bytes) -> Headers:
    """What `brief` was given."""
    return tuple(_restored(item, key) for item in _decode(stored[1:]))


def _restored(item: int | Sequence[Any], key: bytes) -> tuple[str, bytes]:
    if isinstance(item, int):
        return _WHOLE[item]
    name, value, *how = item
    if how:
        value = key[value:] if how[0] else key + value
    return (_NAMES[name] if isinstance(name, int) else name), value

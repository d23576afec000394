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


class _Version(msgspec.Struct, array_like=True, gc=False):
    """How the headers of a snapshot begin; what comes behind is not looked at."""

    seq: tuple[int, bytes]
    epoch: tuple[int, bytes]
    terminal: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
_decode_version = msgspec.msgpack.Decoder(_Version).decode
_VERSION = ("qjb-seq", "qjb-epoch", "qjb-terminal")
_SEQ, _EPOCH, _ = (_NUMBER_OF_NAME[name] for name in _VERSION)
_TERMINAL = {_NUMBER_OF_WHOLE[header]: header for header in _WHOLE if header[0] == _VERSION[-1]}


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


def version_in(stored: bytes, key: bytes) -> Headers:
    """Of a snapshot's headers those that say which it is, at a fifth of the price; else all."""
    try:
        found = _decode_version(stored[1:])
        (seq_name, seq), (epoch_name, epoch) = found.seq, found.epoch
        terminal = _TERMINAL[found.terminal]
    except (msgspec.ValidationError, KeyError):
        return in_full(stored, key)
    if seq_name != _SEQ or epoch_name != _EPOCH:
        return in_full(stored, key)
    return ("qjb-seq", seq), ("qjb-epoch", epoch), terminal


def _restored(item: int | Sequence[Any], key: bytes) -> tuple[str, bytes]:
    if isinstance(item, int):
        return _WHOLE[item]
    name, value, *how = item
    if how:
        value = key[value:] if how[0] else key + value
    return (_NAMES[name] if isinstance(name, int) else name), value

"""Headers as the embedded log stores them for good: what is always the same takes a byte.

Most of a record's headers are known words, or name its key again.
"""

from collections.abc import Callable, Hashable, Sequence
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

Kinds = dict[Hashable, Headers]
HEAD = 24  # bytes: whatever begins with the same ones has the same version, if that fits into it
_SHORT = 4  # bytes, which are not worth a look at whether the key ends with them by chance
_BESIDE = 13  # bytes of those, at most, that are neither a number nor whether it is the last
_MOST_KNOWN = 10_000
_KNOWN: Kinds = {}


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
        elif len(value) > _SHORT and key.endswith(value):
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
    return _version(stored) or in_full(stored, key)


def heads(
    stored: Sequence[bytes],
    keys: Sequence[bytes | None],
    read: Callable[[bytes, bytes | None], Headers],
) -> tuple[list[Hashable], Kinds]:
    """Of the *stored* headers of each record what tells its kind, and the headers of each kind.

    Few snapshots differ in how their headers begin: those are looked at once, and never again. All
    others are *read* whole.
    """
    found: list[Hashable] = [each[:HEAD] for each in stored]
    there = set(found)
    kinds = {head: _KNOWN[head] for head in _KNOWN.keys() & there}
    for number, head in enumerate(found if len(kinds) < len(there) else ()):
        if head in kinds:
            continue
        version = _version(stored[number])
        if version is not None and _BESIDE + sum(len(value) for _, value in version) <= HEAD:
            kinds[head] = _learn(stored[number][:HEAD], version)
        else:
            found[number] = number
            kinds[number] = version or read(stored[number], keys[number])
    return found, kinds


def known(found: Sequence[bytes]) -> Kinds | None:
    """The headers of each kind of which *found* are heads, if all of them were met before."""
    there = set(found)
    kinds = {head: _KNOWN[head] for head in _KNOWN.keys() & there}
    return kinds if len(kinds) == len(there) else None


def _learn(head: bytes, version: Headers) -> Headers:
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[head] = version
    return version


def _version(stored: bytes) -> Headers | None:
    if not is_brief(stored):
        return None
    try:
        found = _decode_version(stored[1:])
        (seq_name, seq), (epoch_name, epoch) = found.seq, found.epoch
        terminal = _TERMINAL[found.terminal]
    except (msgspec.MsgspecError, KeyError):
        return None
    if seq_name != _SEQ or epoch_name != _EPOCH:
        return None
    return ("qjb-seq", seq), ("qjb-epoch", epoch), terminal


def _restored(item: int | Sequence[Any], key: bytes) -> tuple[str, bytes]:
    if isinstance(item, int):
        return _WHOLE[item]
    name, value, *how = item
    if how:
        value = key[value:] if how[0] else key + value
    return (_NAMES[name] if isinstance(name, int) else name), value

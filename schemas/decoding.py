"""JSON text to strict values, and what is said of text that is none."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import msgspec

from schemas.lines import Lines

Buffer: TypeAlias = bytes | bytearray | memoryview

_CUT_OFF = "Input data was truncated"  # what msgspec says, of half a character too
_HALF = re.compile(rb'(?s)(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})[^\\"]{0,4}".{0,4}\Z')
_END = 64  # bytes in which to look for it


class UnreadableError(Exception):
    """Text is not a message. `code` says in what way."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def decode(value: Buffer, kind: Any) -> Any:
    """*value* as a message of that *kind*; raises `UnreadableError`."""
    return decode_each((value,), kind)[0]


def decode_each(values: Sequence[Buffer], kind: Any) -> list[Any]:
    """*values* as messages of that *kind*; raises `UnreadableError` if one of them is none."""
    decoder = _decoder(kind)
    try:
        if isinstance(values, Lines):
            found = decoder.decode_lines(values.text)
            if len(found) != len(values):
                raise UnreadableError("invalid_json", "not one in each line")
            return found
        return [decoder.decode(value) for value in values]
    except msgspec.ValidationError as error:
        raise UnreadableError("invalid_message", str(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        said = str(error) or "nested too deeply"
        said = (_lone_surrogate(values) or said) if said == _CUT_OFF else said
        raise UnreadableError("invalid_json", said) from error


def _lone_surrogate(values: Sequence[Buffer]) -> str:
    """That one of *values* has half a character near its end, if so: its text is not cut off."""
    for value in values:
        end = bytes(memoryview(value)[-_END:])
        if (found := _HALF.search(end)) is not None:
            at = len(value) - len(end) + found.start(1)
            return f"JSON is malformed: a lone utf-16 surrogate, {found[1].decode()} (byte {at})"
    return ""

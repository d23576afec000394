"""How much memory JSON text takes once it is read, told by counting instead of reading.

A list of a million small values is a few megabytes of text and a hundred of memory. So large inputs
are weighed before they are read. The numbers are those of orjson on CPython, measured.
"""

import re
from collections.abc import Iterator

from schemas.limits import MIB
from schemas.values import Violation

ALWAYS = 50 * 1024 * 1024  # bytes of memory that inputs may take, however little text they are
TIMES = 2  # what larger ones may take, as a multiple of their text
WORST = 50  # bytes of memory that one of text can take: lists in lists
COSTS = {b",": 62, b":": 128, b"[": 98, b"{": 100, b'"': 18}  # bytes, beside the text itself

_CHUNK = 64 * 1024
_WIDEST = re.compile(rb"[\xf0-\xff]|\\u[dD]")  # characters that take four bytes in memory
_WIDE = re.compile(rb"[\xc4-\xff]|\\u")  # and two


def too_heavy(data: bytes | bytearray) -> Violation | None:
    """What is wrong with inputs that would take too much memory to be read."""
    if len(data) * WORST <= ALWAYS:
        return None
    allowed = max(ALWAYS, TIMES * len(data))
    if weigh(data, allowed) <= allowed:
        return None
    most = f"{allowed // MIB} MiB"
    text = (
        f"the inputs are {len(data):,} bytes, but read they take more than {most} of memory: "
        "long lists of numbers take less as an ndarray in base64, and text if it is ASCII"
    )
    return Violation("/params", f"memory: {most}", f"more than {most}", text)


def weigh(data: bytes | bytearray, enough: int) -> int:
    """Bytes of memory that JSON text takes once it is read; too many rather than too few.

    Stops counting beyond *enough*.
    """
    weight = len(data) * _width(data)
    if (most := weight + _structure(data)) <= enough:
        return most  # even with all that stands in quotes
    for part in _outside_quotes(data):
        weight += _structure(part)
        if weight > enough:
            break
    return weight


def _width(data: bytes | bytearray) -> int:
    """Bytes of memory for one of text: the characters of a text are as wide as its widest."""
    if data.isascii() and b"\\u" not in data:
        return 1
    if _WIDEST.search(data):
        return 4 + 1  # and once more as UTF-8
    return (2 if _WIDE.search(data) else 1) + 1


def _structure(data: bytes | bytearray) -> int:
    return sum(cost * data.count(sign) for sign, cost in COSTS.items())


def _outside_quotes(data: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """*data* without what texts say, bit by bit; their quotes remain."""
    in_text = protects = False
    for start in range(0, len(data), _CHUNK):
        part = data[start + protects : start + _CHUNK].replace(b"\\\\", b"")
        protects = part.endswith(b"\\")
        pieces = part.replace(b'\\"', b"").split(b'"')
        yield b"".join(pieces[in_text::2]) + b'"' * (len(pieces) - 1)
        in_text ^= len(pieces) % 2 == 0

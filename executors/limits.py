"""What a job's inputs claim, held against limits before any of it is built.

A few bytes can claim millions of qubits or gigabytes of numbers. What a job's inputs unpack to
counts together: many values that are small enough each are too much all the same.
"""

import io
import math
import struct
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib import format as npy

from executors import memory
from executors.faults import InvalidInputsError
from schemas.widths import Declared, of_qpy

MOST_QUBITS = 10_000  # of a circuit; each costs memory, used or not
MOST_CLBITS = 100_000
MOST_UNPACKED = 512 * 1024 * 1024  # bytes that a job's inputs may unpack to together
SHARE = 2  # … and no more than a part in so many of what the job may use
_LEAST_CIRCUIT = 30  # bytes of a circuit in QPY
_LEAST_INSTRUCTION = 12  # and of an instruction
_UNICODE = 4  # bytes of a character in an array


def must_be_buildable(found: Declared) -> None:
    """Raise `InvalidInputsError` if a circuit declares more than is taken."""
    for number, what, most in (
        (found.qubits, "qubits", MOST_QUBITS),
        (found.clbits, "classical bits", MOST_CLBITS),
    ):
        if number > most:
            raise InvalidInputsError(f"it declares {number:,} {what}, at most {most:,} are taken")


class Unpacking:
    """How much a job's inputs have unpacked to, and how much they may."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = most

    def take(self, size: int) -> None:
        """Count *size* bytes; raises `InvalidInputsError` if that is too much."""
        if size > self.left:
            raise InvalidInputsError(
                f"with what comes before it, it unpacks to more than {self.most} bytes"
            )
        self.left -= size


def unpacking(most: int = MOST_UNPACKED) -> Unpacking:
    """For the inputs of one job, which may unpack to *most* bytes where there is so much memory."""
    allowed = memory.allowed()
    return Unpacking(most if allowed is None else min(most, allowed // SHARE))


def check_qpy(data: bytes) -> None:
    """Raise `InvalidInputsError` if the headers of a QPY file claim what it does not hold."""
    for found in _circuits(data):
        must_be_buildable(found)
        if found.instructions > len(data) // _LEAST_INSTRUCTION:
            raise InvalidInputsError(
                f"it announces {found.instructions:,} instructions in {len(data):,} bytes"
            )


def _circuits(data: bytes) -> Iterator[Declared]:
    """What the headers say of the circuits that can be found without reading all of them."""
    try:
        version, number = struct.unpack_from("!6xB3xQ", data)
        if number > len(data) // _LEAST_CIRCUIT:
            raise InvalidInputsError(f"it announces {number:,} circuits in {len(data):,} bytes")
        starts = struct.unpack_from(f"!{number}Q", data, 20) if version >= 16 else ()
    except struct.error:
        return  # the reader says what is wrong
    yield of_qpy(data, starts[0]) if starts else of_qpy(data)
    yield from (of_qpy(data, start) for start in starts[1:])


def array(data: bytes) -> Any:
    """The array in an NPY file; raises `InvalidInputsError` or what NumPy raises."""
    file = io.BytesIO(data)
    _check_npy(file, len(data))
    file.seek(0)
    return np.load(file, allow_pickle=False)


def array_of(values: Any, room: Unpacking) -> Any:
    """JSON *values* as an array. Texts take as much room as the longest, each of them."""
    longest, number = 0, 0
    for value in _leaves(values):
        number += 1
        if isinstance(value, str):
            longest = max(longest, len(value))
    room.take(number * longest * _UNICODE)
    return np.array(values)


def _leaves(values: Any) -> Iterator[Any]:
    stack = [values]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        else:
            yield value


def check_npz(data: bytes, room: Unpacking) -> None:
    """Count what a ZIP of NPY files unpacks to; each must hold what it claims."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        room.take(sum(item.file_size for item in archive.infolist()))
        for item in archive.infolist():
            with archive.open(item) as file:
                _check_npy(file, item.file_size)


def _check_npy(file: Any, size: int) -> None:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read(file)
    claimed, held = math.prod(shape) * kind.itemsize, size - file.tell()
    if claimed > held and not kind.hasobject:
        raise InvalidInputsError(f"it announces {claimed:,} bytes of numbers and holds {held:,}")


def check_operator(settings: dict[str, Any], room: Unpacking) -> None:
    """Count the matrix that an operator becomes if it is made of a Pauli or the like."""
    qubits = getattr(settings.get("data"), "num_qubits", None)
    if qubits is not None:
        room.take(16 << min(2 * qubits, 128))


def check_sum(found: Iterable[Declared], most: int = 100 * MOST_QUBITS) -> None:
    """Raise `InvalidInputsError` if circuits declare more than is taken together."""
    total = sum(one.qubits + one.clbits for one in found)
    if total > most:
        raise InvalidInputsError(
            f"the circuits declare {total:,} bits together, at most {most:,} are taken"
        )

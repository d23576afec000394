"""How many qubits a circuit declares, as far as that can be read without building it.

OpenQASM 2 and 3 say it in declarations, QPY in its header. Both are read in time that grows with
the text alone, and nothing is unpacked but the first bytes. What is written in another way (a size
that is an expression, hardware qubits) is not counted: the number is what is there at least.
"""

import binascii
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any

MOST_DIGITS = 18  # of a size; one with more counts as the largest of these
NEWEST_QPY = 18  # the newest version of that format whose header is known here
_HEAD = 512  # characters of base64, a multiple of four; the header is in the first of its bytes

# Comments, strings, pragmas and annotations come first, so that what they hold is not looked at.
# Each alternative begins with a letter, by which the search skips what begins with none of them.
_TOKEN = re.compile(
    r"""//[^\n]*+
    | /\*(?:(?:[^*]|\*(?!/))*+)(?:\*/)?
    | "[^"\n]*+"?
    | '[^'\n]*+'?
    | @[^\n]*+
    | \#[^\n]*+
    | p(?<!\wp)ragma\b[^\n]*+
    | q(?<!\wq)(?P<qreg>reg)\s++[^\W\d]\w*+\s*+(?:\[\s*+(?P<q2>[0-9][0-9_]*+)\s*+\])?\s*+;
    | c(?<!\wc)(?P<creg>reg)\s++[^\W\d]\w*+\s*+(?:\[\s*+(?P<c2>[0-9][0-9_]*+)\s*+\])?\s*+;
    | q(?<!\wq)(?P<qubit>ubit)\b\s*+(?:\[\s*+(?P<q3>[0-9][0-9_]*+)\s*+\])?\s*+[^\W\d]\w*+\s*+(?=;)
    | b(?<!\wb)(?P<bit>it)\b\s*+(?:\[\s*+(?P<c3>[0-9][0-9_]*+)\s*+\])?\s*+[^\W\d]\w*+\s*+(?=[;=])
    """,
    re.VERBOSE,
)
_QUBITS = (("qreg", "q2"), ("qubit", "q3"))  # a word, and the size beside it
_CLBITS = (("creg", "c2"), ("bit", "c3"))


@dataclass(frozen=True, slots=True)
class Declared:
    """What a circuit declares, at least."""

    qubits: int = 0
    clbits: int = 0
    instructions: int = 0  # of QPY: as many as its header announces


@dataclass(frozen=True, slots=True)
class Widest:
    """The widest of a program's circuits."""

    where: str
    qubits: int


NO_CIRCUIT = Widest("no circuit", 0)


def widest(circuits: Any, name: str = "circuits") -> Widest:
    """The widest of *circuits*: one or a list, as they are in a job's inputs."""
    if not isinstance(circuits, list):
        return Widest("the circuit", declared(circuits).qubits)
    widths = [declared(circuit).qubits for circuit in circuits]
    most = max(widths, default=0)
    return Widest(f"{name}[{widths.index(most)}]" if widths else name, most)


def declared(circuit: Any) -> Declared:
    """What *circuit* declares: OpenQASM text, or QPY in the Runtime encoding.

    A list that begins with one is a pub of the V2 primitives; a map of features by its dimension
    takes half as many qubits.
    """
    if isinstance(circuit, list) and circuit and not isinstance(circuit[0], list):
        return declared(circuit[0])
    if isinstance(circuit, str):
        return of_text(circuit)
    if isinstance(circuit, dict) and circuit.get("__type__") == "QuantumCircuit":
        return of_encoded(circuit.get("__value__"))
    if isinstance(circuit, dict) and isinstance(inner := circuit.get("circuits"), dict):
        return of_encoded(inner.get("b64_data"))  # of a quantum program: its first
    if isinstance(circuit, dict) and isinstance(size := circuit.get("feature_dimension"), int):
        return Declared(max(0, size // 2))
    return Declared()


def of_text(text: str) -> Declared:
    """What OpenQASM *text* declares."""
    qubits = clbits = 0
    for found in _TOKEN.finditer(text):
        if found.lastgroup is not None:
            qubits += _size(found, _QUBITS)
            clbits += _size(found, _CLBITS)
    return Declared(qubits, clbits)


def _size(found: re.Match[str], words: tuple[tuple[str, str], ...]) -> int:
    return sum(_number(found[size] or "1") for word, size in words if found[word])


def _number(digits: str) -> int:
    digits = digits.replace("_", "").lstrip("0") or "0"
    return int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS


def of_encoded(value: Any) -> Declared:
    """What the header of QPY says that is compressed and in base64."""
    if not isinstance(value, str):
        return Declared()
    try:
        packed = binascii.a2b_base64(value[:_HEAD])
        return of_qpy(zlib.decompressobj().decompress(packed, _HEAD))
    except (ValueError, zlib.error):  # binascii's error is one
        return Declared()


def of_qpy(data: bytes, start: int | None = None) -> Declared:
    """What the header of a circuit in a QPY file says: of the first, or of that at *start*."""
    try:
        return _of_header(data, start)
    except struct.error:  # there is less than a header
        return Declared()


def _of_header(data: bytes, at: int | None) -> Declared:
    magic, version, number = struct.unpack_from("!6sB3xQ", data)
    if magic != b"QISKIT" or not 1 <= version <= NEWEST_QPY or not number:
        return Declared()
    if at is None:
        at = 18 + (version >= 10)  # the encoding of symbols
        at += version >= 5  # the kind of program
        if version >= 16:
            (at,) = struct.unpack_from("!Q", data, at)  # where the circuit begins
    if at > len(data):
        return Declared()
    # name, global phase, qubits, bits, metadata, registers, instructions
    form = "!HdIIQIQ" if version == 1 else "!HcHIIQIQ"
    fields = struct.unpack_from(form, data, at)
    *_, qubits, clbits, _, _, instructions = fields
    return Declared(qubits, clbits, instructions)

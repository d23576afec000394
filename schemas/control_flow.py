"""Whether a circuit has control flow, as far as that can be read without building it.

OpenQASM has words for it, and in QPY each instruction bears the name of its class. What is packed is
unpacked to some multiple of its size at most: what comes later is not looked at.
"""

import binascii
import re
import zlib
from typing import Any

MOST_UNPACKED = 64  # times the size of what is packed

_WORDS = re.compile(r"\b(?:if|for|while|switch)\b")
# The same, and whatever may hold such a word without meaning it.
_TOKEN = re.compile(
    r"""//[^\n]*+
    | /\*(?:(?:[^*]|\*(?!/))*+)(?:\*/)?
    | "[^"\n]*+"?
    | '[^'\n]*+'?
    | \#[^\n]*+
    | \bpragma\b[^\n]*+
    | \b(?P<flow>if|for|while|switch)\b
    """,
    re.VERBOSE,
)
# An instruction in QPY: the length of the name, 31 bytes of other lengths, and the name.
_INSTRUCTION = re.compile(
    b"|".join(
        re.escape(len(name).to_bytes(2)) + b".{31}" + name
        for name in (b"IfElseOp", b"ForLoopOp", b"WhileLoopOp", b"SwitchCaseOp")
    ),
    re.DOTALL,
)


def first_with_flow(circuits: Any, name: str = "circuits") -> str:
    """Which of *circuits*, one or a list as in a job's inputs, has some first; empty if none has."""
    if not isinstance(circuits, list):
        return "the circuit" if has_flow(circuits) else ""
    found = (number for number, circuit in enumerate(circuits) if has_flow(circuit))
    return f"{name}[{number}]" if (number := next(found, None)) is not None else ""


def has_flow(circuit: Any) -> bool:
    """Whether *circuit* has some: OpenQASM text, QPY in the Runtime encoding, or a list that begins
    with one, which is a pub of the V2 primitives.
    """
    if isinstance(circuit, list) and circuit and not isinstance(circuit[0], list):
        return has_flow(circuit[0])
    if isinstance(circuit, str):
        return _in_text(circuit)
    if isinstance(circuit, dict) and circuit.get("__type__") == "QuantumCircuit":
        return _in_encoded(circuit.get("__value__"))
    if isinstance(circuit, dict) and isinstance(inner := circuit.get("circuits"), dict):
        return _in_encoded(inner.get("b64_data"))
    return False


def _in_text(text: str) -> bool:
    if _WORDS.search(text) is None:
        return False
    return any(found["flow"] for found in _TOKEN.finditer(text))


def _in_encoded(value: Any) -> bool:
    """In QPY that is compressed and in base64."""
    if not isinstance(value, str):
        return False
    try:
        packed = binascii.a2b_base64(value)
        data = zlib.decompressobj().decompress(packed, MOST_UNPACKED * len(packed))
    except (ValueError, zlib.error):  # binascii's error is one
        return False
    return _INSTRUCTION.search(data) is not None

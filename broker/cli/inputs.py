"""A program's inputs, from what stands on the command line."""

import base64
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from broker.cli.exits import Exit

MOST = 256 * 1024 * 1024  # bytes of a file; a gateway takes 64 MiB unless it is told to take more
SUFFIXES = {".qasm", ".qasm2", ".qasm3", ".qpy", ".json"}
STDIN = "-"
_QPY = b"QISKIT"
_QPY_HEADER = 18  # bytes
_KINDS = {  # of files that are taken for circuits: how they begin, what they are
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"PK\x03\x04": "packed with zip; unpack it first",
    b"\x80\x04": "a Python pickle; qiskit.qpy.dump writes circuits",
    b"\x80\x05": "a Python pickle; qiskit.qpy.dump writes circuits",
}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_PYTHONS = {"True": "true", "False": "false", "None": "null"}


class InputError(click.ClickException):
    """What stands on the command line can not be an input."""

    exit_code = Exit.USAGE


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """The inputs in *pairs* of `name=value`; a name that comes several times makes a list.

    A value is JSON if it can be read as JSON, else text. `@file` stands for what is in the file,
    `@-` for standard input.
    """
    found: dict[str, list[Any]] = {}
    if sum(pair.partition("=")[2] == "@" + STDIN for pair in pairs) > 1:
        raise InputError("-i: @- can be given once only: standard input has one end")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise InputError(f"-i: {pair!r} is not name=value{_meant(pair)}")
        value = _from_file(text[1:]) if text[:1] == "@" else _value(name, text)
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def named(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """What *pairs* of `name=value` of an *option* say; a name that comes several times makes a list."""
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise InputError(f"{option}: {pair!r} is not name=value")
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            value = text
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def is_file(text: str) -> bool:
    """Whether *text* is the name of a file, or looks like one of a circuit."""
    try:
        return Path(text).suffix.lower() in SUFFIXES or Path(text).is_file()
    except (OSError, ValueError):
        return False


def doubts(pairs: Sequence[str]) -> list[str]:
    """What may be meant in another way than it is read."""
    found = []
    for name, _, text in (pair.partition("=") for pair in pairs):
        if text in _PYTHONS:
            found.append(f"{name} is the text {text!r}; in JSON it is {_PYTHONS[text]}")
        elif text[:1] != "@" and _value(name, text) == text and is_file(text):
            found.append(f"{name} is the text {text!r}; {name}=@{text} is what is in that file")
    return found


def with_shots(params: dict[str, Any], shots: int, program: dict[str, Any]) -> dict[str, Any]:
    """*params* with the number of shots where the schema of *program* has it."""
    known = ((program.get("spec") or {}).get("parameters") or {}).get("properties") or {}
    if "shots" in known:
        return params | {"shots": shots}
    if "run_config" in known:
        config = params.get("run_config") or {}
        if not isinstance(config, dict):
            raise InputError("-i: run_config is no JSON object")
        return params | {"run_config": config | {"shots": shots}}
    raise InputError(f"--shots: the program {program.get('id')} has no shots")


def _meant(pair: str) -> str:
    """The end of a sentence about a *pair* that is a file, or such with a name left out."""
    file = pair.lstrip("=@")
    return f"; what is in a file is an input by circuits=@{file}" if is_file(file) else ""


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise InputError(f"-i: {name} is nested too deeply") from None
    except ValueError as error:
        if text[:1] in ("{", "["):
            raise InputError(
                f'-i: {name} begins like JSON and is none: {error}; names and texts stand in "…"'
            ) from error
    if Path(text).suffix.lower() in SUFFIXES and "\n" not in text:
        raise InputError(
            f"-i: {name} would be the text {text!r}; {name}=@{text} is what is in that file "
            f"({name}='\"{text}\"' is the text)"
        )
    return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def text_of(name: str) -> tuple[str, str]:
    """How the file *name* is called, and the text in it. Raises `InputError`."""
    shown, data = bytes_of(name)
    return shown, _text(data, shown)


def bytes_of(name: str) -> tuple[str, bytes]:
    """How the file *name* is called, and what is in it. Raises `InputError`."""
    shown = "standard input" if name == STDIN else name or "@"
    data = _read(name, shown)
    if not data.strip():
        raise InputError(f"{shown} is empty")
    return shown, data


def _from_file(name: str) -> Any:
    shown, data = bytes_of(name)
    if data.startswith(_QPY):
        return _circuit(data, shown)
    text = _text(data, shown)
    if name.endswith(".qpy"):
        raise InputError(f"{shown} is not a QPY file")
    return json_of(shown, text) if name.endswith(".json") else text


def _read(name: str, shown: str) -> bytes:
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(MOST + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(MOST + 1)
    except (OSError, ValueError, RuntimeError) as error:  # also of names that can be no file's
        raise InputError(f"{shown}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MOST:
        raise InputError(f"{shown} is larger than {MOST >> 20} MiB")
    return data


def _circuit(data: bytes, shown: str) -> dict[str, str]:
    """QPY in the Runtime encoding; a file of several circuits stands for all of them."""
    if len(data) < _QPY_HEADER or not int.from_bytes(data[10:18], "big"):
        raise InputError(f"{shown} is a QPY file without a circuit")
    packed = base64.b64encode(zlib.compress(data)).decode()
    return {"__type__": "QuantumCircuit", "__value__": packed}


def _text(data: bytes, shown: str) -> str:
    for start, kind in _KINDS.items():
        if data.startswith(start):
            raise InputError(f"{shown} is {kind}")
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is neither QPY nor text in UTF-8") from error
    if "\0" in text:
        raise InputError(f"{shown} is neither QPY nor text in UTF-8")
    return text


def json_of(name: str, text: str) -> Any:
    """The JSON in *text*, which stands at *name*. Raises `InputError`."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise InputError(f"{name} is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}") from error

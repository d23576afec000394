"""A program's inputs, from what stands on the command line."""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from broker.cli.exits import Exit

_QPY = b"QISKIT"


class InputError(click.ClickException):
    """What stands on the command line can not be an input."""

    exit_code = Exit.USAGE


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """The inputs in *pairs* of `name=value`; a name that comes several times makes a list.

    A value is JSON if it can be read as JSON, else text. `@file` stands for what is in the file.
    """
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise InputError(f"-i: {pair!r} is not name=value")
        found.setdefault(name, []).append(_from_file(text[1:]) if text[:1] == "@" else _value(text))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


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


def unknown(params: dict[str, Any], program: dict[str, Any]) -> list[str]:
    """The names in *params* that the schema of *program* does not have, with what may be meant."""
    known = ((program.get("spec") or {}).get("parameters") or {}).get("properties") or {}
    return [name + near(name, known) for name in params if known and name not in known]


def near(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about *name*, which there is not: which of *names* may be meant."""
    found = get_close_matches(name, names, 1)
    return f"; did you mean {found[0]}?" if found else ""


def as_text(value: Any) -> str:
    """*value* as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _from_file(name: str) -> Any:
    path = Path(name).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name or '@'}: {error.strerror}") from error
    if data.startswith(_QPY):
        packed = base64.b64encode(zlib.compress(data)).decode()
        return {"__type__": "QuantumCircuit", "__value__": packed}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is neither QPY nor text") from error
    if path.suffix == ".qpy":
        raise InputError(f"{name} is not a QPY file")
    return _json(name, text) if path.suffix == ".json" else text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}") from error

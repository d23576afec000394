"""A program's inputs, from what stands on the command line."""

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

_QPY = b"QISKIT"


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """The inputs in *pairs* of `name=value`; a name that comes several times makes a list.

    A value is JSON if it can be read as JSON, else text. `@file` stands for what is in the file.
    """
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not name=value", param_hint="-i")
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
            raise click.BadParameter("run_config is no JSON object", param_hint="-i")
        return params | {"run_config": config | {"shots": shots}}
    raise click.BadParameter(f"the program {program.get('id')} has no shots", param_hint="--shots")


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
        raise click.BadParameter(f"{name}: {error.strerror}", param_hint="-i") from error
    if data.startswith(_QPY):
        packed = base64.b64encode(zlib.compress(data)).decode()
        return {"__type__": "QuantumCircuit", "__value__": packed}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{name} is neither QPY nor text", param_hint="-i") from error
    if path.suffix == ".qpy":
        raise click.BadParameter(f"{name} is not a QPY file", param_hint="-i")
    return _json(name, text) if path.suffix == ".json" else text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise click.BadParameter(f"{name} is not JSON: {error}", param_hint="-i") from error

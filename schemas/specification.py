"""What a program declares about itself, and the check of values against it.

JSON Schema Draft 2020-12 and 2019-09 through jsonschema-rs, whose regular expressions can not
run away; compiled once per program version.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import orjson

from schemas.values import Violation

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 64
MAX_SUBSCHEMAS = 2_000
MAX_VALUE_DEPTH = 100
MAX_VIOLATIONS = 50
SHOWN = 120  # characters of an offending value that a violation quotes


class SpecificationError(ValueError):
    """A program's specification can not be used; the message names the field and the rule."""


class BackendRequirements(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a backend must have to run the program."""

    min_num_qubits: int = 0
    simulator: bool | None = None


class Schemas(msgspec.Struct, frozen=True, omit_defaults=True):
    """JSON Schemas of what goes in and comes out; an empty one allows everything."""

    parameters: dict[str, Any] = {}
    interim_results: dict[str, Any] = {}
    return_values: dict[str, Any] = {}
    backend_requirements: BackendRequirements = BackendRequirements()


class Specification(msgspec.Struct, frozen=True, omit_defaults=True):
    """A program, as the Runtime REST API describes one."""

    id: str
    name: str
    max_execution_time: float  # s
    description: str = ""
    spec: Schemas = Schemas()

    @property
    def version(self) -> str:
        """Content hash: a job pins it, so that a changed program changes no accepted job."""
        ordered = orjson.dumps(msgspec.to_builtins(self), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(ordered).hexdigest()[:16]


def parse_specification(data: bytes) -> Specification:
    """The specification in *data* (JSON); raises `SpecificationError`."""
    try:
        specification = msgspec.json.decode(data, type=Specification)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SpecificationError(str(error)) from error
    for name in ("parameters", "interim_results", "return_values"):
        _check_schema(name, getattr(specification.spec, name))
    return specification


def _check_schema(name: str, schema: dict[str, Any]) -> None:
    size = len(orjson.dumps(schema))
    if size > MAX_SCHEMA_BYTES:
        raise SpecificationError(f"{name}: {size} bytes, at most {MAX_SCHEMA_BYTES} are allowed")
    if depth(schema) > MAX_SCHEMA_DEPTH:
        raise SpecificationError(f"{name}: nested deeper than {MAX_SCHEMA_DEPTH}")
    if sum(1 for _ in _dictionaries(schema)) > MAX_SUBSCHEMAS:
        raise SpecificationError(f"{name}: more than {MAX_SUBSCHEMAS} sub-schemas")
    for part in _dictionaries(schema):
        reference = part.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise SpecificationError(
                f"{name}: $ref {reference[:SHOWN]!r} points outside the schema"
            )


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def depth(value: Any) -> int:
    """How deep lists and objects in *value* are nested; 0 for a plain value."""
    deepest, stack = 0, [(value, 0)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        if isinstance(item, dict):
            stack.extend((inner, level + 1) for inner in item.values())
        elif isinstance(item, list):
            stack.extend((inner, level + 1) for inner in item)
    return deepest


class Program:
    """A specification with its schemas compiled: ready to check values."""

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        self.id = specification.id
        self.version = specification.version
        self._parameters = _compile("parameters", specification.spec.parameters)
        self._interim = _compile("interim_results", specification.spec.interim_results)
        self._returned = _compile("return_values", specification.spec.return_values)

    def check_parameters(self, data: bytes) -> list[Violation]:
        """What is wrong with inputs, given as JSON text; empty if nothing is."""
        return _check(self._parameters, data, "/params", must_be_object=True)

    def check_interim(self, data: bytes) -> list[Violation]:
        """What is wrong with an interim result, given as JSON text."""
        return _check(self._interim, data, "")

    def check_result(self, data: bytes) -> list[Violation]:
        """What is wrong with a final result, given as JSON text."""
        return _check(self._returned, data, "")


def _compile(name: str, schema: dict[str, Any]) -> Any:
    if not schema:
        return None
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=True)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise SpecificationError(f"{name}: {str(error).splitlines()[0]}") from error


def _check(validator: Any, data: bytes, root: str, must_be_object: bool = False) -> list[Violation]:
    if validator is None and not must_be_object:
        return []
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return [Violation(root, "json", shown(data[:SHOWN].decode("utf-8", "replace")), str(error))]
    if must_be_object and not isinstance(value, dict):
        return [Violation(root, "type: object", shown(value), "the inputs must be a JSON object")]
    if violations := _too_deep(data, value, root):
        return violations  # the validator could not quote it
    if validator is None or validator.is_valid(value):
        return []
    return [
        Violation(
            path=root + "".join(f"/{part}" for part in error.instance_path),
            rule=_rule(error),
            value=shown(error.instance),
            message=error.message[:500],
        )
        for error, _ in zip(validator.iter_errors(value), range(MAX_VIOLATIONS), strict=False)
    ]


def _too_deep(data: bytes, value: Any, root: str) -> list[Violation]:
    if data.count(b"{") + data.count(b"[") <= MAX_VALUE_DEPTH or depth(value) <= MAX_VALUE_DEPTH:
        return []
    return [Violation(root, f"depth: {MAX_VALUE_DEPTH}", "…", "nested too deeply")]


def _rule(error: Any) -> str:
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    for name in ("value", "limit"):
        asked = getattr(error.kind, name, None)
        if asked is not None:
            return f"{keyword}: {shown(asked)}"
    return keyword


def shown(value: Any) -> str:
    """*value* as JSON, shortened to be quoted."""
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, ValueError):  # nested too deeply, or a number that is too large
        text = "…" if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"

"""A program as somebody brings it: JSON with its code in base64, made strict.

What clients of 2021 wrote is taken, too: the parts of `spec` beside the other fields, and lists of
parameters in words instead of JSON Schemas.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from schemas import unknown
from schemas.bounds import MAX_SCHEMA_BYTES
from schemas.checking import SHOWN, Schema, is_deeper, shown
from schemas.decoding import Buffer, UnreadableError, decode
from schemas.field_rules import plain
from schemas.limits import LARGEST_CODE
from schemas.specification import (
    MAX_VIOLATIONS,
    BackendRequirements,
    Program,
    Schemas,
    Specification,
    SpecificationError,
    check_schemas,
)
from schemas.submits import WrongFieldsError
from schemas.unknown import LONGEST_NAME, MOST_WARNINGS
from schemas.values import MOST, Violation

PARTS = ("parameters", "return_values", "interim_results")  # of a specification: JSON Schemas
LONGEST_TIME = 7 * 24 * 3600  # s that a program may take
USUAL_TIME = 3 * 3600  # s, where its author does not say
LONGEST_DESCRIPTION = 16_384  # characters
MOST_LISTED = 100  # parameters in words
DEEPEST = 64

_WORDS = {
    "type": "object",
    "properties": {part: {"type": "string"} for part in ("name", "description", "type")},
}
_PART: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "array", "items": _WORDS}]}
_REQUIREMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "min_num_qubits": {"type": "integer", "minimum": 0, "maximum": MOST},
        "simulator": {"type": "boolean"},
        "circuits": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_LISTED},
    },
}
_SPEC: dict[str, Any] = dict.fromkeys(PARTS, _PART) | {"backend_requirements": _REQUIREMENTS}
_TIME = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_TIME}
FIELDS: dict[str, Any] = {  # as JSON Schema
    "name": {
        "type": "string",
        "maxLength": 128,
        "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f\s][^\x00-\x1f\x7f-\x9f]*$",
        "description": "The id is made of it.",
    },
    "data": {
        "type": "string",
        "contentEncoding": "base64",
        "description": f"The code, Python in UTF-8; at most {LARGEST_CODE:,} bytes.",
    },
    "description": {"type": "string", "maxLength": LONGEST_DESCRIPTION},
    "cost": _TIME | {"description": f"Seconds that it may take; {USUAL_TIME} if nobody says."},
    "max_execution_time": _TIME | {"description": "The same as `cost`."},
    "is_public": {"type": "boolean", "description": "May others see and run it?"},
    "spec": {"type": "object", "properties": _SPEC},
}
_KNOWN = {**FIELDS, **_SPEC}
_PASSED_OVER = {"version"}  # our versions are content hashes
REQUIRED = ("name", "data")
_BASE64_SPACE = re.compile(rb"[\r\n\t ]+")


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a program; None and what is not in `spec`: nothing."""

    name: str | None = None
    description: str | None = None
    max_execution_time: float | None = None
    is_public: bool | None = None
    spec: dict[str, dict[str, Any]] = {}  # by their names in `Schemas`
    warnings: tuple[str, ...] = ()


def read_upload(body: Buffer, *, whole: bool = True) -> tuple[Upload, bytes | None]:
    """The program in *body* (JSON), and its code. Raises `UnreadableError`.

    *whole*: it has all that a new program needs.
    """
    written = decode(body, dict[str, msgspec.Raw])
    data = written.pop("data", None)
    given, violations = _values({name: written[name] for name in _KNOWN if name in written})
    asked = given if data is None else given | {"data": ""}
    violations += _violations(asked, whole=whole)
    code = None
    try:
        code = None if data is None else code_in(_text(data))
    except WrongFieldsError as error:
        violations += error.violations
    _refuse(violations)
    upload = _made(given)
    _refuse(_wrong_schemas(upload))
    return replace(upload, warnings=_warnings(written, given)), code


def _refuse(violations: Sequence[Violation]) -> None:
    if violations:
        raise WrongFieldsError({}, tuple(violations[:MAX_VIOLATIONS]))


def code_in(text: Buffer) -> bytes:
    """The code that is *text* in base64. Raises `WrongFieldsError`."""
    packed = _BASE64_SPACE.sub(b"", bytes(text))
    if len(packed) > LARGEST_CODE * 4 / 3 + 4:
        raise wrong_code(f"maxBytes: {LARGEST_CODE}", "…", too_long(len(packed) * 3 // 4))
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        begin = shown(packed[:SHOWN].decode("utf-8", "replace"))
        raise wrong_code("contentEncoding: base64", begin, f"it is no base64: {error}") from error


def too_long(size: int) -> str:
    """What to say of code of so many bytes."""
    return f"{size:,} bytes, but at most {LARGEST_CODE:,} are allowed"


def wrong_code(rule: str, value: str, message: str) -> WrongFieldsError:
    """What is wrong with a program's code."""
    return WrongFieldsError({}, (Violation("/data", rule, value, f"data: {message}"),))


def specification_of(upload: Upload, program_id: str) -> Specification:
    """The new program that *upload* describes."""
    return changed(
        Specification(id=program_id, name=program_id, max_execution_time=USUAL_TIME), upload
    )


def changed(specification: Specification, upload: Upload) -> Specification:
    """*specification* with what *upload* says instead."""
    told = {
        name: value
        for name in ("name", "description", "max_execution_time")
        if (value := getattr(upload, name)) is not None
    }
    return replace(specification, spec=_with_parts(specification.spec, upload), **told)


def _with_parts(spec: Schemas, upload: Upload) -> Schemas:
    parts: dict[str, Any] = {part: upload.spec[part] for part in PARTS if part in upload.spec}
    if (needs := upload.spec.get("backend_requirements")) is not None:
        parts["backend_requirements"] = msgspec.convert(needs, BackendRequirements)
    return replace(spec, **parts)


def _values(written: Mapping[str, msgspec.Raw]) -> tuple[dict[str, Any], list[Violation]]:
    """The values of all fields but the code; null is as good as nothing."""
    given: dict[str, Any] = {}
    violations: list[Violation] = []
    for name, raw in written.items():
        most = len(PARTS) * MAX_SCHEMA_BYTES if name == "spec" else MAX_SCHEMA_BYTES
        if len(raw) > most:
            text = f"{name}: {len(raw):,} bytes, but at most {most:,} are allowed"
            violations.append(Violation(f"/{name}", f"maxBytes: {most}", "…", text))
            continue
        value = decode(raw, Any)
        if is_deeper(value, DEEPEST + 2):
            violations.append(_too_deep(name))
        elif value is not None:
            given[name] = value
    return given, violations


def _too_deep(name: str) -> Violation:
    text = f"{name}: nested deeper than {DEEPEST}"
    return Violation(f"/{name}", f"depth: {DEEPEST}", "…", text)


def _violations(given: Mapping[str, Any], *, whole: bool) -> list[Violation]:
    rules = _RULES_OF_A_NEW_ONE if whole else _RULES
    found = islice(rules.violations(dict(given)), MAX_VIOLATIONS)
    return [replace(one, message=_in_words(one)) for one in found]


_RULES = Schema({"type": "object", "properties": _KNOWN})
_RULES_OF_A_NEW_ONE = Schema({"type": "object", "properties": _KNOWN, "required": REQUIRED})


def _in_words(violation: Violation) -> str:
    """The message, with the name of the field before it."""
    name = violation.path.removeprefix("/").replace("/", ".")
    if name == "name" and violation.rule.startswith("pattern"):
        return "name: it has to be on one line, and not empty"
    return f"{name}: {violation.message}" if name else violation.message


def _text(raw: msgspec.Raw) -> bytes:
    """The text of the field with the code. Raises `WrongFieldsError`."""
    try:
        return decode(raw, str).encode()  # type: ignore[no-any-return]
    except (UnreadableError, UnicodeEncodeError) as error:
        begin = bytes(memoryview(raw)[:SHOWN]).decode("utf-8", "replace")
        raise wrong_code("type: string", begin, "it has to be text in base64") from error


def _made(given: Mapping[str, Any]) -> Upload:
    """The upload of those fields, which keep to their rules each by itself."""
    times = {given[name] for name in ("cost", "max_execution_time") if name in given}
    if len(times) > 1:
        text = "cost and max_execution_time mean the same, and are not the same"
        _refuse([Violation("/cost", "const: max_execution_time", shown(given["cost"]), text)])
    parts = {part: given[part] for part in _SPEC if part in given} | given.get("spec", {})
    spec = {part: _part(part, value) for part, value in parts.items() if part in _SPEC and value}
    return Upload(
        name=given.get("name"),
        description=given.get("description"),
        max_execution_time=times.pop() if times else None,
        is_public=given.get("is_public"),
        spec=spec,
    )


def _part(name: str, value: Any) -> dict[str, Any]:
    """A part of a specification; what 2021's clients said in words as a JSON Schema."""
    if isinstance(value, dict):
        return plain(value) if name == "backend_requirements" else value
    if name != "parameters":
        return {"description": "; ".join(map(_described, value[:MOST_LISTED]))}
    listed = [item for item in value[:MOST_LISTED] if item.get("name")]
    return {
        "type": "object",
        "properties": {item["name"]: {"description": _described(item)} for item in listed},
        "required": [item["name"] for item in listed if item.get("required") is True],
    }


def _described(item: Mapping[str, Any]) -> str:
    told = str(item.get("description", ""))
    return f"{told} ({item['type']})" if item.get("type") else told


def _wrong_schemas(upload: Upload) -> Sequence[Violation]:
    """What keeps the parts of its specification from being used; found by compiling them."""
    try:
        specification = specification_of(upload, "new")
        check_schemas(specification)
        Program(specification)
    except SpecificationError as error:
        part, _, _ = str(error).partition(":")
        given = shown(upload.spec.get(part, ""))
        return [Violation(f"/spec/{part}", "schema", given, f"spec.{error}")]
    return []


def _warnings(written: Mapping[str, msgspec.Raw], given: Mapping[str, Any]) -> tuple[str, ...]:
    """What to say of names that nobody knows, and of requirements that nobody can enforce."""
    told = unknown.fields(sorted(written.keys() - _PASSED_OVER), {*FIELDS, *_SPEC})
    spec = given.get("spec", {})
    needs = {**given.get("backend_requirements", {}), **(spec.get("backend_requirements") or {})}
    told += tuple(
        f"backend_requirements.{name[:LONGEST_NAME]} is not known here, so it is not enforced"
        for name in sorted(needs.keys() - _REQUIREMENTS["properties"].keys())
    )
    told += tuple(
        f"spec has no field {name[:LONGEST_NAME]}" for name in sorted(spec.keys() - _SPEC.keys())
    )
    return told[:MOST_WARNINGS]


def as_json(fields: Mapping[str, Any], code: bytes | None) -> bytes:
    """*fields* and *code* as `read_upload` reads them. Raises `WrongFieldsError`.

    What is nested too deeply is told here, as it may be too deep to be written.
    """
    _refuse([_too_deep(name) for name, given in fields.items() if is_deeper(given, DEEPEST + 2)])
    data = {} if code is None else {"data": base64.b64encode(code).decode()}
    return orjson.dumps({**fields, **data})

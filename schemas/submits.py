"""A submit as clients write it, made strict.

JSON Schema does not tell 1.0 from 1, and some languages write null for what is left out: both are
taken. What is wrong is told field by field, in little memory, however it was made.
"""

from collections.abc import Mapping
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec
import orjson
from msgspec import UNSET, UnsetType
from msgspec.structs import fields, replace

from schemas import unknown
from schemas.checking import SHOWN, is_deeper, shown
from schemas.decoding import Buffer, UnreadableError, decode
from schemas.field_rules import DEEPEST, in_words, plain, rules_of
from schemas.jobs import RETRIES
from schemas.requests import SubmitJob
from schemas.specification import MAX_VIOLATIONS, with_whole_numbers
from schemas.unknown import LONGEST_NAME, MOST_WARNINGS, PASSED_OVER
from schemas.values import Violation

LONGEST_FIELD = 64 * 1024  # bytes of JSON; only params may be longer
EMPTY = msgspec.Raw(b"{}")

_NEVER_RETRIED = {
    "deterministic": "such an error would come again",
    "budget": "a budget that is used up stays so",
}

_FIELDS = {field.encode_name: field for field in fields(SubmitJob)}
_APART = frozenset({"params"})  # the program's own schema is for them
_KNOWN = PASSED_OVER.union(_FIELDS)
_Asked = msgspec.defstruct(
    "_Asked", [(name, msgspec.Raw | UnsetType, UNSET) for name in _FIELDS]
)  # each field as it was written; what is no field takes no memory


class WrongFieldsError(UnreadableError):
    """A submit of which fields are not what they have to be."""

    def __init__(self, given: Mapping[str, Any], violations: tuple[Violation, ...]) -> None:
        super().__init__("invalid_message", violations[0].message)
        self.violations = violations
        self.names_program = "program_id" in given
        self.program_id = _text(given.get("program_id"))
        self.job_id = _text(given.get("job_id"))


def read_submit(data: Buffer) -> SubmitJob:
    """The submit in *data* (JSON). Raises `UnreadableError`, most often a `WrongFieldsError`."""
    request = _read(data)
    if refused := _not_offered(request):
        given = {"program_id": request.program_id, "job_id": request.job_id}
        raise WrongFieldsError(given, refused)
    if len(data) > LONGEST_FIELD:
        return request
    names = decode(data, dict[str, msgspec.Raw]).keys() - _KNOWN
    if not names and not request.unknown_fields:
        return request
    told = sorted(name[:LONGEST_NAME] for name in {*names, *request.unknown_fields})
    return replace(request, unknown_fields=tuple(told[:MOST_WARNINGS]))


def warnings(request: SubmitJob) -> tuple[str, ...]:
    """What to say of names in *request* that are no fields."""
    if not request.unknown_fields:
        return ()
    return unknown.fields(request.unknown_fields, _FIELDS.keys() - {"unknown_fields"})


def digest(request: SubmitJob, params_sha256: str) -> str:
    """What tells whether two requests of one id ask for the same: 16 characters.

    *params_sha256*: `Findings.sha256` of inputs that travel with the request; those by reference
    have their own.
    """
    asked = [
        request.program_id,
        request.params_ref.sha256 if request.params_ref else params_sha256,
        request.backend or None,
        request.tags,
        request.session_id,
        request.asked_limit,
        request.priority,
        with_whole_numbers(request.backend_requirements or None),
    ]
    if (retries := request.retries) is not None:
        transport = RETRIES if retries.transport is None else retries.transport
        also = [] if retries.device_down is None else [retries.device_down]
        asked.append(["retries", transport, *also])
    if request.max_device_seconds is not None:
        asked.append(["max_device_seconds", request.max_device_seconds])
    if request.start_session:
        asked.append(["start_session", request.session_time])
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _not_offered(request: SubmitJob) -> tuple[Violation, ...]:
    """What would be another job if it were passed over without a word."""
    refused = []
    if request.private:
        message = "private: inputs and results are kept here until the job is deleted; leave it out"
        refused.append(Violation("/private", "const: false", "true", message))
    if (calibration := request.calibration_id) is not None:
        message = f"calibration_id: no backend here has the calibration {calibration[:80]!r}"
        value = shown(calibration)
        refused.append(Violation("/calibration_id", "const: null", value, message))
    for name, why in _NEVER_RETRIED.items():
        if times := getattr(request.retries, name, None):
            message = f"retries.{name}: {why}, and is never retried; leave it out"
            refused.append(Violation(f"/retries/{name}", "const: 0", str(times), message))
    return tuple(refused)


def _read(data: Buffer) -> SubmitJob:
    if len(data) > LONGEST_FIELD:
        return _leniently(decode(data, _Asked))
    try:
        request: SubmitJob = decode(data, SubmitJob)
    except UnreadableError as error:
        if error.code != "invalid_message":
            raise
        return _leniently(decode(data, _Asked))
    return replace(request, params=EMPTY) if _is_null(request.params) else request


def _leniently(asked: Any) -> SubmitJob:
    """The submit whose fields stand in *asked* as they were written."""
    written = {name: raw for name in _FIELDS if (raw := getattr(asked, name)) is not UNSET}
    params = written.pop("params", EMPTY)
    given: dict[str, Any] = {}
    violations: list[Violation] = []
    for name, raw in written.items():
        try:
            given[name] = _value(raw)
        except UnreadableError as error:
            begin = bytes(memoryview(raw)[:SHOWN]).decode("utf-8", "replace")
            message = f"{name}: {error.message}"
            violations.append(Violation(f"/{name}", error.code, begin, message))
    given = {name: value for name, value in given.items() if value is not None or _required(name)}
    found = rules_of(SubmitJob, _APART).violations(given)
    violations += map(in_words, islice(found, MAX_VIOLATIONS))
    if not violations:
        try:
            return _converted({**given, "params": EMPTY if _is_null(params) else params})
        except msgspec.ValidationError as error:  # what a schema can not say
            violations.append(Violation("", "type", shown(given), str(error)))
    raise WrongFieldsError(written | given, tuple(violations[:MAX_VIOLATIONS]))


def _value(raw: msgspec.Raw) -> Any:
    if len(raw) > LONGEST_FIELD:
        text = f"{len(raw):,} bytes, but at most {LONGEST_FIELD:,} are allowed"
        raise UnreadableError(f"maxBytes: {LONGEST_FIELD}", text)
    value = decode(memoryview(raw), Any)
    if is_deeper(value, DEEPEST):
        raise UnreadableError(f"depth: {DEEPEST}", "nested too deeply")
    return plain(value)


def _converted(given: Mapping[str, Any]) -> SubmitJob:
    return msgspec.convert(given, SubmitJob)


def _is_null(raw: msgspec.Raw) -> bool:
    return len(raw) == 4 and bytes(raw) == b"null"


def _required(name: str) -> bool:
    return _FIELDS[name].required


def _text(value: Any) -> str:
    return value[:128] if isinstance(value, str) else ""

"""What a program declares about itself, and the check of values against it."""

import hashlib
import re
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, TypeAlias

import msgspec
import orjson

from schemas import unknown
from schemas.bounds import TooCostlyError, check_schema
from schemas.checking import SHOWN, Schema, is_deeper, shown
from schemas.control_flow import first_with_flow
from schemas.limits import INLINE
from schemas.mitigation import first_that_asks
from schemas.shots import shots_in
from schemas.values import Violation
from schemas.weighing import too_heavy
from schemas.widths import NO_CIRCUIT, Widest, widest

MAX_VALUE_DEPTH = 100
MAX_VIOLATIONS = 50
REMEMBERED, REMEMBERED_BYTES = 1024, 2048  # inputs whose findings are kept, and the largest
_FRACTION = re.compile(rb"[0-9](?:\.[0-9]|[eE][-+0-9])")  # a number that is not written as a whole

Text: TypeAlias = bytes | bytearray


class SpecificationError(ValueError):
    """A program's specification can not be used; the message names the field and the rule."""


class BackendRequirements(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a backend must have to run the program."""

    min_num_qubits: int = 0
    simulator: bool | None = None
    circuits: tuple[str, ...] = ()  # inputs with circuits, for which a device must be wide enough
    exact: tuple[str, ...] = ()  # inputs that may ask for values without noise, of shots or devices
    # Paths of inputs that may ask for mitigation which only a vendor has that estimates by itself.
    mitigation: tuple[str, ...] = ()

    @property
    def depends_on_inputs(self) -> bool:
        """Whether inputs say something of it."""
        return bool(self.circuits or self.exact or self.mitigation)


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
    check_schemas(specification)
    return specification


def check_schemas(specification: Specification) -> None:
    """Raise `SpecificationError` if a schema is larger than they may be, or refers elsewhere."""
    for name in ("parameters", "interim_results", "return_values"):
        try:
            check_schema(getattr(specification.spec, name))
        except TooCostlyError as error:
            raise SpecificationError(f"{name}: {error}") from error


class Findings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be said about a job's inputs."""

    violations: tuple[Violation, ...] = ()  # at most `MAX_VIOLATIONS`, the first that were found
    widest: Widest = NO_CIRCUIT  # of their circuits, as far as they declare it
    exact: str = ""  # the input that asks for values without noise
    flow: str = ""  # the first of their circuits with control flow
    mitigation: str = ""  # the first input that asks for what only a vendor can do
    has_looked: bool = False  # at the circuits
    warnings: tuple[str, ...] = ()  # about names that the program does not know
    sha256: str = ""  # of the inputs in one order of their names, unless they are large
    shots: int = 0  # that they ask for, as far as they say


class Program:
    """A specification with its schemas compiled: ready to check values.

    *version*: by which jobs pin it, that of the specification unless there is code beside it.
    Raises `SpecificationError`.
    """

    def __init__(self, specification: Specification, version: str = "") -> None:
        self.specification = specification
        self.id = specification.id
        self.version = version or specification.version
        self._parameters = _compile("parameters", specification.spec.parameters)
        self._interim = _compile("interim_results", specification.spec.interim_results)
        self._returned = _compile("return_values", specification.spec.return_values)

    @cached_property
    def text(self) -> bytes:
        """The specification as JSON."""
        return msgspec.json.encode(self.specification)

    def check_parameters(self, data: Text) -> list[Violation]:
        """What is wrong with inputs, given as JSON text; empty if nothing is."""
        return list(self.examine(data).violations)

    def examine(self, data: Text, *, circuits: bool = True, hashed: bool = True) -> Findings:
        """What is to be said about inputs, given as JSON text.

        *circuits*: also how wide they are, and whether they have control flow; *hashed*: also what tells them from others. What was
        found lately is remembered: the roles in one process look at the same inputs.
        """
        if len(data) <= REMEMBERED_BYTES:
            return _lately(self, bytes(data), circuits)
        return self._examine(data, circuits, hashed)

    def _examine(self, data: Text, circuits: bool, hashed: bool) -> Findings:
        if heavy := too_heavy(data):
            return Findings((heavy,))
        inputs = _parsed(data, "/params")
        if not isinstance(inputs, dict):
            text = "the inputs must be a JSON object"
            wrong = Violation("/params", "type: object", shown(inputs), text)
            return Findings((inputs if isinstance(inputs, Violation) else wrong,))
        violations = _violations(self._parameters, inputs, "/params")
        mitigation = self._mitigation(inputs) if not violations else ""
        circuits = circuits or bool(mitigation)  # which takes a device
        return Findings(
            violations,
            self._widest(inputs) if circuits and not violations else NO_CIRCUIT,
            self._exact(inputs) if not violations else "",
            self._flow(inputs) if circuits and not violations else "",
            mitigation,
            circuits,
            unknown.inputs(self.id, inputs, self.specification.spec.parameters),
            _sha256(inputs, data) if hashed and len(data) <= INLINE else "",
            shots_in(inputs, self._declared) if not violations else 0,
        )

    @property
    def _declared(self) -> dict[str, Any]:
        """The schemas of its inputs, by name."""
        found = self.specification.spec.parameters.get("properties")
        return found if isinstance(found, dict) else {}

    def _widest(self, inputs: dict[str, Any]) -> Widest:
        names = self.specification.spec.backend_requirements.circuits
        found = (widest(inputs[name], name) for name in names if name in inputs)
        return max(found, key=lambda one: one.qubits, default=NO_CIRCUIT)

    def _flow(self, inputs: dict[str, Any]) -> str:
        names = self.specification.spec.backend_requirements.circuits
        found = (first_with_flow(inputs[name], name) for name in names if name in inputs)
        return next(filter(None, found), "")

    def _exact(self, inputs: dict[str, Any]) -> str:
        names = self.specification.spec.backend_requirements.exact
        return next((name for name in names if _asks_for_exact(inputs.get(name))), "")

    def _mitigation(self, inputs: dict[str, Any]) -> str:
        return first_that_asks(inputs, self.specification.spec.backend_requirements.mitigation)

    def examine_result(self, data: Text, *, final: bool) -> tuple[Violation, ...]:
        """What is wrong with what is said to be a result, of which nobody knows that it is JSON."""
        schema = self._returned if final else self._interim
        if schema is not None:
            return tuple(_check(schema, data))
        value = _loaded(data, "")
        return (value,) if isinstance(value, Violation) else ()

    def check_interim(self, data: bytes) -> list[Violation]:
        """What is wrong with an interim result, given as JSON text."""
        return _check(self._interim, data)

    def check_result(self, data: bytes) -> list[Violation]:
        """What is wrong with a final result, given as JSON text."""
        return _check(self._returned, data)


def _asks_for_exact(value: Any) -> bool:
    """Whether an input says yes, or is a list of pubs of which one has the precision 0."""
    if not isinstance(value, list):
        return value is True
    return any(
        isinstance(pub, list) and len(pub) == 4 and pub[3] == 0 and pub[3] is not False
        for pub in value
    )


@lru_cache(REMEMBERED)
def _lately(program: Program, data: bytes, circuits: bool) -> Findings:
    return program._examine(data, circuits, True)


def _compile(name: str, schema: dict[str, Any]) -> Schema | None:
    """*schema*, ready to check values; None for one that allows everything."""
    if not schema:
        return None
    try:
        return Schema(schema)
    except ValueError as error:
        raise SpecificationError(f"{name}: {str(error).splitlines()[0]}") from error


def _check(schema: Schema | None, data: Text) -> list[Violation]:
    if schema is None:
        return []
    value = _parsed(data, "")
    return [value] if isinstance(value, Violation) else list(_violations(schema, value, ""))


def _loaded(data: Text, root: str) -> Any:
    """The value in *data*, or the `Violation` that there is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        quoted = shown(bytes(data[:SHOWN]).decode("utf-8", "replace"))
        return Violation(root, "json", quoted, str(error))


def _parsed(data: Text, root: str) -> Any:
    """The same, or the `Violation` that it is none that can be worked with."""
    value = _loaded(data, root)
    if _may_be_deep(data) and is_deeper(value, MAX_VALUE_DEPTH):
        return Violation(root, f"depth: {MAX_VALUE_DEPTH}", "…", "nested too deeply")
    return value


def _violations(schema: Schema | None, value: Any, root: str) -> tuple[Violation, ...]:
    if schema is None or schema.is_valid(value):
        return ()
    return tuple(islice(schema.violations(value, root), MAX_VIOLATIONS))


def _sha256(inputs: dict[str, Any], data: Text) -> str:
    """The same for what JSON Schema takes for the same inputs, in whatever way they are written."""
    if _FRACTION.search(data):
        inputs = with_whole_numbers(inputs)
    return hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()


def with_whole_numbers(value: Any) -> Any:
    """*value* with 1.0 and 1e0 written as 1; a number that no JSON holds as a whole one is text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**64:
            return f"{value:x}" if isinstance(value, int) else value
        return int(value) if value == int(value) else value
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: with_whole_numbers(item) for name, item in value.items()}
    return value


def _may_be_deep(data: Text) -> bool:
    return data.count(b"{") + data.count(b"[") > MAX_VALUE_DEPTH

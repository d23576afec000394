"""The Qiskit Runtime encoding: `{"__type__": …, "__value__": …}` inside ordinary JSON.

Decoding builds only what is listed here and never imports what a message names. It is for
children: an input can be made to cost memory and time, within the limits below. What the types
look like is what the encoders of qiskit-ibm-runtime 0.1 to 0.51 send.
"""

import binascii
import io
import warnings
import zlib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import orjson
from qiskit import QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Instruction, Parameter
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult
from qiskit.qpy.binary_io import value as qpy_value
from qiskit.quantum_info import Operator, Pauli, PauliList, SparsePauliOp
from qiskit.result import Result
from scipy import sparse  # type: ignore[import-untyped]  # has no stubs

from executors import limits
from executors.faults import InvalidInputsError, blame, quiet, within
from executors.gates import apart, flat
from executors.limits import MOST_UNPACKED, Unpacking

_SUMS = frozenset({"PauliSumOp", "TaperedPauliSumOp"})  # of Qiskit before 1.0
_SETTINGS = {kind.__name__: kind for kind in (SparsePauliOp, PauliList, Pauli, Operator)}


class NotEncodableError(Exception):
    """A result holds what JSON and the Runtime encoding have no form for."""


_OPTIONS = (
    orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
)


def encode(value: Any) -> bytes:
    """*value* as JSON text. NaN and infinities, which JSON does not know, become null."""
    try:
        return orjson.dumps(value, default=form, option=_OPTIONS)
    except TypeError as error:  # orjson's own errors are of this type; the cause says more
        why = str(error.__cause__ or error)
        if "OPT_NON_STR_KEYS" in why:
            why = _wrong_key(value) or "a key of a dict is no text"
        raise NotEncodableError(why) from error


def _wrong_key(value: Any) -> str | None:
    """The first key in *value* that no JSON has, in words: orjson names neither it nor its type."""
    if isinstance(value, dict):
        for key, inner in value.items():
            try:
                orjson.dumps({key: None}, option=_OPTIONS)
            except TypeError:
                kind = type(key).__name__
                return f"the key {repr(key)[:100]} of a dict is a {kind}, and JSON has text there"
            if (why := _wrong_key(inner)) is not None:
                return why
        return None
    inside = value if isinstance(value, list | tuple) else ()
    return next(filter(None, map(_wrong_key, inside)), None)


def _typed(name: str, value: Any, **more: str) -> dict[str, Any]:
    return {"__type__": name, **more, "__value__": value}


def form(value: Any) -> Any:
    """What stands for *value*, which JSON has no form for; inside may be more of such.

    Raises `TypeError`.
    """
    for kinds, make in _FORMS:
        if isinstance(value, kinds):
            return make(value)
    if hasattr(value, "to_json"):
        return _typed("to_json", value.to_json())
    if callable(value):
        warnings.warn(f"{value!r} is callable and was replaced by null", stacklevel=2)
        return None
    raise TypeError(f"a {type(value).__name__} can not be encoded")


def _of_array(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    if value.dtype == object:
        return _typed("ndarray", value.tolist())
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return _typed("ndarray", _base64(zlib.compress(buffer.getvalue())))


def _of_circuit(value: QuantumCircuit) -> dict[str, Any]:
    return _typed("QuantumCircuit", _qpy_text(value))


def _of_instruction(value: Instruction) -> dict[str, Any]:
    register = QuantumRegister(value.num_qubits)
    circuit = QuantumCircuit(register)
    circuit.append(value, register)
    return _typed("Instruction", _qpy_text(circuit))


def _of_parameter(value: Parameter) -> dict[str, Any]:
    _, data = qpy_value.dumps_value(value, version=qpy.common.QPY_VERSION)
    return _typed("Parameter", _base64(data))


def _of_sparse_matrix(value: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    sparse.save_npz(buffer, value)
    return _typed("spmatrix", _base64(buffer.getvalue()))


def _of_settings(value: Any) -> dict[str, Any]:
    kind = type(value)
    return _typed("settings", value.settings, __module__=kind.__module__, __class__=kind.__name__)


def _of_primitive_result(value: PrimitiveResult[Any]) -> dict[str, Any]:
    return _typed("PrimitiveResult", {"pub_results": list(value), "metadata": value.metadata})


def _of_pub_result(value: PubResult) -> dict[str, Any]:
    return _typed(type(value).__name__, {"data": value.data, "metadata": value.metadata})


def _of_data_bin(value: DataBin) -> dict[str, Any]:
    names = list(value)
    fields = {name: value[name] for name in names}
    return _typed("DataBin", {"field_names": names, "shape": value.shape, "fields": fields})


def _of_bit_array(value: BitArray) -> dict[str, Any]:
    return _typed("BitArray", {"array": value.array, "num_bits": value.num_bits})


def _of_complex(value: Any) -> dict[str, Any]:
    if not np.isfinite(value):  # its parts would be null, of which no client makes a number
        raise TypeError(f"{value} is a complex number that is not finite, which can not be encoded")
    return _typed("complex", [value.real, value.imag])


def _of_set(value: Any) -> dict[str, Any]:
    return _typed("set", list(value))


def _qpy_text(circuit: QuantumCircuit) -> str:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return _base64(zlib.compress(buffer.getvalue()))


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (np.integer, int),
    (np.floating, float),
    (np.bool_, bool),
    (np.ndarray, _of_array),
    ((complex, np.complexfloating), _of_complex),
    ((datetime, date), lambda value: _typed("datetime", value.isoformat())),
    ((set, frozenset), _of_set),
    (Result, lambda value: _typed("Result", value.to_dict())),
    (QuantumCircuit, _of_circuit),
    (Parameter, _of_parameter),
    (Instruction, _of_instruction),
    (tuple(_SETTINGS.values()), _of_settings),
    (sparse.spmatrix, _of_sparse_matrix),
    (PrimitiveResult, _of_primitive_result),
    (PubResult, _of_pub_result),
    (DataBin, _of_data_bin),
    (BitArray, _of_bit_array),
)


_ENCODED = (b"__type__", b"\\u")  # what is encoded has one of these in its text


def decode_inputs(data: bytes, most: int = MOST_UNPACKED) -> dict[str, Any]:
    """A job's inputs, which may unpack to *most* bytes, decoded.

    Raises `InvalidInputsError`, which names the field.
    """
    try:
        inputs = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInputsError(f"the inputs are not JSON: {error}") from error
    if not isinstance(inputs, dict):
        raise InvalidInputsError("the inputs must be a JSON object")
    if not any(mark in data for mark in _ENCODED):
        return inputs
    room = limits.unpacking(most)
    return {name: _field(value, name, room) for name, value in inputs.items()}


def decode(value: Any, field: str = "", most: int = MOST_UNPACKED) -> Any:
    """JSON *value* with what is encoded in it; raises `InvalidInputsError` naming *field*."""
    return _field(value, field, limits.unpacking(most))


def built(value: dict[str, Any], most: int = MOST_UNPACKED) -> Any:
    """What the JSON object *value*, decoded inside, stands for; raises `InvalidInputsError`."""
    return _built(value, "the value", limits.unpacking(most)) if "__type__" in value else value


def _field(value: Any, field: str, room: Unpacking) -> Any:
    with blame(InvalidInputsError, field):
        return _decoded(value, field, room)


def _decoded(value: Any, field: str, room: Unpacking) -> Any:
    if isinstance(value, list):
        return [_decoded(item, f"{field}[{number}]", room) for number, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    inner = {name: _decoded(item, _inside(field, name), room) for name, item in value.items()}
    if "__type__" not in inner:
        return inner
    return _built(inner, field, room)


def _inside(field: str, name: str) -> str:
    return field if name.startswith("__") else f"{field}.{name}"


def _built(typed: dict[str, Any], field: str, room: Unpacking) -> Any:
    name = typed["__type__"]
    build = _BUILDERS.get(name) if isinstance(name, str) else None
    if build is None:
        return typed  # nothing that we know: the program sees it as it came
    with blame(InvalidInputsError, f"{field} is not a valid {name}"), within(field):
        return build(typed, room)


def to_bytes(text: Any) -> bytes:
    """What base64 *text* stands for; raises what says that it is not."""
    if not isinstance(text, str):
        raise TypeError("__value__ must be base64 text")
    return binascii.a2b_base64(text)


def unpacked(text: Any, room: Unpacking) -> bytes:
    """What is compressed and in base64, counted; raises what says that it is not."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(to_bytes(text), room.left + 1)
    room.take(len(data))
    if not unpacker.eof:
        raise ValueError("it is cut short")
    return data


def _loaded(typed: dict[str, Any], room: Unpacking) -> list[QuantumCircuit]:
    return of_qpy(unpacked(typed["__value__"], room))


def of_qpy(data: bytes, annotations: Mapping[str, Any] | None = None) -> list[QuantumCircuit]:
    """The circuits of a QPY file; *annotations* reads those that they have, by namespace."""
    limits.check_qpy(data)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of older Qiskits' files: no concern of the user's
        circuits: list[QuantumCircuit] = qpy.load(
            io.BytesIO(data), annotation_factories=annotations
        )
    if not circuits:
        raise InvalidInputsError("it holds no circuit")
    return circuits


def _to_circuit(typed: dict[str, Any], room: Unpacking) -> QuantumCircuit | list[QuantumCircuit]:
    """The circuit of a QPY file; all of them, if it holds several."""
    circuits = [flat(circuit) for circuit in _loaded(typed, room)]
    return circuits if len(circuits) > 1 else circuits[0]


def _to_instruction(typed: dict[str, Any], room: Unpacking) -> Instruction:
    return apart(_loaded(typed, room)[0].data[0].operation)


def _to_parameter(typed: dict[str, Any], _: Unpacking) -> Parameter:
    return qpy_value.loads_value(
        qpy.type_keys.Value.PARAMETER,
        to_bytes(typed["__value__"]),
        version=qpy.common.QPY_VERSION,
        vectors={},
    )


def _to_array(typed: dict[str, Any], room: Unpacking) -> Any:
    value = typed["__value__"]
    if not isinstance(value, str):
        return limits.array_of(value, room)
    return limits.array(unpacked(value, room))


def _to_sparse_matrix(typed: dict[str, Any], room: Unpacking) -> Any:
    data = to_bytes(typed["__value__"])
    limits.check_npz(data, room)
    return sparse.load_npz(io.BytesIO(data))


def _to_settings(typed: dict[str, Any], room: Unpacking) -> Any:
    if typed["__module__"].startswith("qiskit.opflow"):
        return _to_sum(typed)
    kind = _SETTINGS.get(typed["__class__"])
    if kind is None or not typed["__module__"].startswith("qiskit.quantum_info"):
        known = ", ".join(_SETTINGS)
        raise InvalidInputsError(f"a {typed['__class__']!r} is not accepted here, only {known}")
    settings = typed["__value__"]
    settings.pop("__int_keys__", None)
    if kind is Operator:
        limits.check_operator(settings, room)
    return kind(**settings)


def _to_sum(typed: dict[str, Any]) -> Any:
    """A sum of Paulis of 2021; what else an operator of then knows of itself stays as it came."""
    if typed["__class__"] not in _SUMS:
        return typed
    settings = typed["__value__"]
    operator, factor = settings["primitive"], settings.get("coeff", 1.0)
    if not isinstance(operator, SparsePauliOp) or not isinstance(factor, int | float | complex):
        raise InvalidInputsError("it is no sum of Paulis times a number")
    return operator * factor


_BUILDERS: dict[str, Callable[[dict[str, Any], Unpacking], Any]] = {
    "QuantumCircuit": _to_circuit,
    "Instruction": _to_instruction,
    "Parameter": _to_parameter,
    "ndarray": _to_array,
    "spmatrix": _to_sparse_matrix,
    "settings": _to_settings,
    "complex": lambda typed, _: complex(*typed["__value__"]),
    "datetime": lambda typed, _: datetime.fromisoformat(typed["__value__"]),
    "set": lambda typed, _: set(typed["__value__"]),
    "Result": lambda typed, _: Result.from_dict(typed["__value__"]),
    "to_json": lambda typed, _: typed["__value__"],
}

"""`executor`: quantum programs of today's client: circuits, arguments, randomizations by a samplex.

What goes in and comes out are the models of the public package `ibm-quantum-schemas`.
"""

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from executors import limits, runtime_json
from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame, within
from executors.gates import flat
from executors.limits import Unpacking
from executors.programs.circuits import must_fit, must_measure, read_circuits
from executors.programs.expectation import Numbers
from executors.programs.outcomes import fields, sampled

MOST_RUNS = 10_000  # circuits with values, over all items
MOST_BITS = 256 * 1024 * 1024  # outcomes of a job, a byte each while they are packed
MOST_DRAWN = 256 * 1024 * 1024  # bytes that a samplex may draw for one item
MOST_DIMENSIONS = 16
FIELD = "quantum_program"
_VERSIONS = {
    "v1.0": "ibm_quantum_schemas.executor.version_1_0",
    "v1.1": "ibm_quantum_schemas.executor.version_1_1",
    "v2.0": "ibm_quantum_schemas.executor.version_2_0",
}
_COMPRESSED = frozenset({"v2.0"})
_ABSENT = {
    "scheduler_timing": "a simulator has no schedule",
    "stretch_values": "a simulator has no schedule",
    "experimental": "it is experimental",
}  # options that nothing here can honour


@dataclass(frozen=True, slots=True)
class Job:
    """A circuit, with values for its parameters in some shape, and what goes with the outcomes."""

    circuit: QuantumCircuit
    values: Numbers
    beside: Mapping[str, Numbers]


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    quantum_program: Mapping[str, Any],
    schema_version: str = "v2.0",
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    method: str | None = None,
    **ignored: Any,
) -> dict[str, Any]:
    """The outcomes of each item, by register, and when each was run."""
    del user_messenger, ignored
    if (name := _VERSIONS.get(schema_version)) is None:
        raise InvalidInputsError(
            f"schema_version is {str(schema_version)[:60]!r}, only {', '.join(_VERSIONS)} are taken"
        )
    room = limits.unpacking()
    compressed = schema_version in _COMPRESSED
    if compressed:
        _weigh(quantum_program, FIELD, room)
    models = importlib.import_module(name)
    given = {
        "schema_version": schema_version,
        "quantum_program": quantum_program,
        "options": options or {},
    }
    program = _read(models, given).quantum_program
    circuits = _circuits(quantum_program["circuits"], room if compressed else None)
    _check_number(circuits, program.items)
    random = np.random.default_rng(seed)
    jobs = [
        _job(circuit, item, f"{FIELD}.items[{number}]", backend, random)
        for number, (circuit, item) in enumerate(zip(circuits, program.items, strict=True))
    ]
    _check_sums(jobs, program.shots)
    return _answer(
        models, program, [_run(backend, job, program.shots, random, method) for job in jobs]
    )


# What comes in


def _weigh(value: Any, where: str, room: Unpacking) -> None:
    """Count what *value* unpacks to before anything unpacks it: a model unpacks whatever it is."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _weigh(item, f"{where}[{number}]", room)
    elif isinstance(value, dict):
        if {"data", "shape", "dtype"} <= set(value):
            with blame(InvalidInputsError, f"{where}.data is no compressed tensor"), within(where):
                runtime_json.unpacked(value["data"], room)
        for name, item in value.items():
            _weigh(item, f"{where}.{name}", room)


def _read(models: Any, given: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    _refuse(given["options"])
    with blame(InvalidInputsError, FIELD):
        try:
            read = models.ParamsModel.model_validate(given)
        except ValidationError as error:
            raise InvalidInputsError(_first_of(error)) from error
    if read.quantum_program.meas_level != "classified":
        raise InvalidInputsError(
            f"{FIELD}.meas_level {read.quantum_program.meas_level!r} can not be honoured: only "
            "classified outcomes are given here"
        )
    return read


def _first_of(error: Any) -> str:
    """Path, rule and value of what a model says first."""
    first = error.errors(include_url=False)[0]
    path = ".".join(map(str, first["loc"]))
    given = first.get("input")
    shown = "" if isinstance(given, dict | list) else f", and it is {str(given)[:60]!r}"
    return f"{path}: {first['msg'][:200]}{shown}"


def _refuse(options: Any) -> None:
    for name, why in _ABSENT.items():
        if isinstance(options, Mapping) and options.get(name):
            raise InvalidInputsError(f"options.{name} can not be honoured: {why}")


def _circuits(value: Mapping[str, Any], room: Unpacking | None) -> list[QuantumCircuit]:
    """As they are read everywhere here, rather than by the model; with *room*, compressed."""
    from ibm_quantum_schemas.common.qpy import ANNOTATION_FACTORIES

    where = f"{FIELD}.circuits"
    if "b64_data" not in value:
        return read_circuits(value["data"], f"{where}.data")
    with blame(InvalidInputsError, f"{where}.b64_data is no QPY"), within(where):
        text = value["b64_data"]
        data = runtime_json.unpacked(text, room) if room else runtime_json.to_bytes(text)
        return [flat(circuit) for circuit in runtime_json.of_qpy(data, ANNOTATION_FACTORIES)]


def _check_number(circuits: Sequence[QuantumCircuit], items: Sequence[Any]) -> None:
    if len(circuits) != len(items):
        raise InvalidInputsError(
            f"{FIELD} has {len(items)} items and {len(circuits)} circuits: one for each is wanted"
        )


def _job(
    circuit: QuantumCircuit, item: Any, where: str, backend: LocalSimulator, random: Any
) -> Job:
    must_fit(circuit, f"{FIELD}.circuits: that of {where}", backend)
    must_measure(circuit, f"{FIELD}.circuits: that of {where}")
    shape = tuple(item.shape)
    if len(shape) > MOST_DIMENSIONS or not all(0 < size <= MOST_RUNS for size in shape):
        raise InvalidInputsError(
            f"{where}.shape is {str(shape)[:60]}: at most {MOST_DIMENSIONS} sizes from 1 to "
            f"{MOST_RUNS:,} are taken"
        )
    if item.item_type == "samplex":
        beside = dict(_drawn(item, shape, where, random))
        values = beside.pop("parameter_values", np.empty((*shape, 0)))
        return Job(circuit, _fitting(values, circuit, f"{where}.samplex"), beside)
    with blame(InvalidInputsError, f"{where}.circuit_arguments"):
        values = item.circuit_arguments.to_numpy()
    values = _fitting(values, circuit, f"{where}.circuit_arguments")
    whole = _extended(values.shape[:-1], shape, where, "circuit_arguments", at_least=False)
    return Job(circuit, np.broadcast_to(values, (*whole, values.shape[-1])), {})


def _fitting(values: Numbers, circuit: QuantumCircuit, where: str) -> Numbers:
    wanted = circuit.num_parameters
    if not values.ndim or values.shape[-1] != wanted:
        names = ", ".join(parameter.name for parameter in circuit.parameters)[:300] or "none"
        raise InvalidInputsError(
            f"{where} has values of the shape {values.shape}, and the circuit {wanted} "
            f"parameters: {names}"
        )
    if not np.all(np.isfinite(values)):
        raise InvalidInputsError(f"{where} has a value that is no finite number")
    return values


def _extended(
    given: tuple[int, ...], shape: tuple[int, ...], where: str, what: str, at_least: bool = True
) -> tuple[int, ...]:
    """*shape*, to which arguments of the shape *given* extend."""
    with blame(InvalidInputsError, f"{where}: {what} of shape {given} do not extend to {shape}"):
        whole = np.broadcast_shapes(given, shape)
        if at_least and whole != shape:
            raise ValueError(f"together they have the shape {whole}")
    return whole


def _drawn(item: Any, shape: tuple[int, ...], where: str, random: Any) -> Iterator[tuple[str, Any]]:
    """What the samplex gives, in *shape*: arguments along some axes, along the others chance."""
    with blame(InvalidInputsError, f"{where}.samplex is none"):
        samplex = item.samplex.to_samplex().finalize()
        given = samplex.inputs().make_broadcastable()
    for name, value in item.samplex_arguments.items():
        with blame(InvalidInputsError, f"{where}.samplex_arguments.{name}"):
            given[name] = _plain(value)
    if not given.fully_bound:
        missing = ", ".join(
            one.name for one in given.specs if not one.optional and one.name not in given
        )
        raise InvalidInputsError(f"{where}.samplex_arguments lacks {missing[:300]}")
    _extended(given.shape, shape, where, "samplex_arguments")
    over = (1,) * (len(shape) - len(given.shape)) + tuple(given.shape)
    axes = [axis for axis, size in enumerate(over) if size == 1]
    times = math.prod(shape[axis] for axis in axes)
    outputs: dict[str, Numbers] = {}
    with blame(InvalidInputsError, f"{where}.samplex can not be drawn from"):
        size = samplex.outputs().num_bytes(num_randomizations=math.prod(shape))
        if size > MOST_DRAWN:
            raise InvalidInputsError(
                f"{where}.samplex draws {size:,} bytes, at most {MOST_DRAWN:,} are taken"
            )
        for place in np.ndindex(*over):
            at = given[place[len(shape) - len(given.shape) :]] if given.shape else given
            drawn = samplex.sample(at, num_randomizations=times, rng=random)
            here = tuple(slice(None) if axis in axes else index for axis, index in enumerate(place))
            for name, array in drawn.items():
                inner = array.shape[1:]
                made = outputs.setdefault(name, np.empty((*shape, *inner), array.dtype))
                made[here] = array.reshape(*(shape[axis] for axis in axes), *inner)
    yield from outputs.items()


def _plain(value: Any) -> Any:
    for method in ("to_numpy", "to_pauli_lindblad_map"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def _check_sums(jobs: Sequence[Job], shots: int) -> None:
    points = [math.prod(job.values.shape[:-1]) for job in jobs]
    if sum(points) > MOST_RUNS:
        raise InvalidInputsError(
            f"{FIELD} asks for {sum(points):,} runs, at most {MOST_RUNS:,} are taken"
        )
    bits = sum(
        number * shots * max(1, sum(map(len, fields(job.circuit).values())))
        for number, job in zip(points, jobs, strict=True)
    )
    if bits > MOST_BITS:
        raise InvalidInputsError(
            f"{FIELD} asks for {bits:,} bits of outcomes, at most {MOST_BITS:,} are taken"
        )


# What goes out


@dataclass(frozen=True, slots=True)
class Ran:
    """The tensors of an item, its shape, and from when to when it ran."""

    results: Mapping[str, Numbers]
    shape: tuple[int, ...]
    start: datetime
    stop: datetime


def _run(backend: LocalSimulator, job: Job, shots: int, random: Any, method: str | None) -> Ran:
    start = datetime.now(UTC)
    found = sampled(backend, job.circuit, job.values, shots, random, method)
    bits = {name: array.to_bool_array(order="little") for name, array in found.items()}
    if taken := set(bits) & set(job.beside):
        raise InvalidInputsError(f"a classical register has a name that is taken: {min(taken)}")
    return Ran({**job.beside, **bits}, job.values.shape[:-1], start, datetime.now(UTC))


def _answer(models: Any, program: Any, found: Sequence[Ran]) -> dict[str, Any]:
    tensor = models.QuantumProgramResultItemModel.model_fields["results"].annotation.__args__[1]
    data = [
        {
            "results": {name: tensor.from_numpy(array) for name, array in one.results.items()},
            "metadata": {},
        }
        for one in found
    ]
    timing = [
        {"start": one.start, "stop": one.stop, "parts": [_part(number, one.shape)]}
        for number, one in enumerate(found)
    ]
    made = models.QuantumProgramResultModel(
        data=data,
        metadata={"chunk_timing": timing},
        passthrough_data=program.passthrough_data,
        semantic_role=program.semantic_role,
    )
    answer: dict[str, Any] = made.model_dump(mode="json")
    return answer


def _part(number: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """All of an item, in its order."""
    size = math.prod(shape)
    return {
        "idx_item": number,
        "size": size,
        "permutation": list(range(len(shape))),
        "element_range": (0, size, 1),
    }

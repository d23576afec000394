"""Circuits through a backend: options checked, failures told plainly."""

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.result import Result

from executors.backends.aer import LocalSimulator
from executors.faults import BackendError, InvalidInputsError, blame
from executors.programs.aer_words import failure
from executors.programs.options import unknown
from executors.programs.transpiling import within_method

# Options of devices that a simulator has no use for: taken, for the sake of what was written for
# devices, and left out.
_OF_DEVICES = frozenset({"init_qubits", "rep_delay", "use_measure_esp", "dynamic", "job_tags"})
AUTOMATIC = "automatic"  # the method that Aer finds best
_RESERVED = frozenset(
    {
        "accept_distributed_results",
        "batched_shots_gpu",
        "batched_shots_gpu_max_qubits",
        "blocking_enable",
        "blocking_qubits",
        "chunk_swap_buffer_qubits",
        "cuStateVec_enable",
        "device",
        "executor",
        "max_job_size",
        "max_memory_mb",
        "max_parallel_threads",
        "max_shot_size",
        "mps_omp_threads",
        "noise_model",
        "num_threads_per_device",
        "runtime_parameter_bind_enable",
        "tensor_network_num_sampling_qubits",
        "use_cuTensorNet_autotuning",
    }
)  # Aer's options that are not the user's to choose: they are about the machine, or no JSON


def run(
    backend: LocalSimulator,
    circuits: Sequence[QuantumCircuit],
    options: Mapping[str, Any],
    binds: Mapping[Parameter, Sequence[float]] | None = None,
) -> Result:
    """The result of *circuits*; raises `InvalidInputsError` or `BackendError`.

    With *binds* of each, one after the other, for each of the values that its parameters have.
    """
    chosen = {
        name: value
        for name, value in options.items()
        if value is not None and name not in _OF_DEVICES
    }
    if "noise_model" in chosen:
        raise InvalidInputsError(
            "noise_model can not be chosen: run on a backend with noise instead"
        )
    if others := set(chosen) - run_options(backend):
        raise unknown(f"{backend.name} has no run option", others, run_options(backend))
    with blame(BackendError, f"{backend.name} could not run the circuits"):
        given = None if binds is None else [binds] * len(circuits)
        asked = _for_method(backend, circuits, chosen.get("method", AUTOMATIC))
        result = backend.run(list(asked), parameter_binds=given, **chosen).result()
        if not result.success:
            raise failure(result, chosen)
        times = len(result.results) // len(circuits)
        for number, found in enumerate(result.results):
            found.header["creg_sizes"] = registers(circuits[number // times])
        return result


def _for_method(
    backend: LocalSimulator, circuits: Sequence[QuantumCircuit], method: str
) -> Sequence[QuantumCircuit]:
    """With noise each gate stays what it is: the noise is that of this one."""
    if method == AUTOMATIC or not backend.is_ideal:
        return circuits
    return within_method(circuits, method)


def run_options(backend: LocalSimulator) -> frozenset[str]:
    """The options that a run takes."""
    return frozenset(backend.options.__dict__) - _RESERVED


def registers(circuit: QuantumCircuit) -> list[list[Any]]:
    """Name and size of the registers by which outcomes are written, that of bit 0 first.

    Qiskit cuts an outcome by all registers there are, as if they held each bit once. A bit of no
    register stands here by itself; a register that shares bits with one before it has no part.
    """
    sizes = [[register.name, register.size] for register in circuit.cregs]
    if not sizes or [bit for register in circuit.cregs for bit in register] == circuit.clbits:
        return sizes
    starts = _starts(circuit)
    groups: list[list[Any]] = []
    place = 0
    while place < circuit.num_clbits:
        groups.append(starts.get(place) or [f"bit{place}", 1])
        place += groups[-1][1]
    return groups


def _starts(circuit: QuantumCircuit) -> dict[int, list[Any]]:
    """The registers whose bits follow one another, by the first; each bit once."""
    starts = {}
    taken: set[int] = set()
    for register in circuit.cregs:
        places = [circuit.find_bit(bit).index for bit in register]
        in_a_row = places and places == list(range(places[0], places[0] + len(places)))
        if in_a_row and taken.isdisjoint(places):
            starts[places[0]] = [register.name, register.size]
            taken.update(places)
    return starts


def counts_of(result: Result) -> list[dict[str, int]]:
    """One histogram of bit strings for each circuit."""
    with blame(InvalidInputsError, "there are no counts"):
        return [dict(result.get_counts(number)) for number in range(len(result.results))]

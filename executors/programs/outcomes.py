"""What each shot of a circuit measured, by classical register."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray

from executors.backends.aer import LocalSimulator
from executors.faults import BackendError, InvalidInputsError
from executors.programs.expectation import Bound, Numbers
from executors.programs.primitive_options import in_place
from executors.programs.running import run
from executors.programs.transpiling import transpiled

BLOCK = 1 << 16  # outcomes that are unpacked together


def sampled(
    backend: LocalSimulator,
    circuit: QuantumCircuit,
    values: Numbers,
    shots: int,
    random: np.random.Generator,
    method: str | None,
) -> dict[str, BitArray]:
    """The outcomes by register, in the shape of *values*, whose last dimension is parameters."""
    shape = values.shape[:-1]
    made = Bound(circuit, transpiled([circuit], backend, in_place(circuit, backend)))
    places = fields(circuit)
    found = {
        name: np.empty((*shape, shots, -(-len(bits) // 8)), np.uint8)
        for name, bits in places.items()
    }
    for place in np.ndindex(*shape):
        seed = int(random.integers(2**31))
        options = {"shots": shots, "memory": True, "seed_simulator": seed, "method": method}
        result = run(backend, made.at(values[place]), options)
        outcomes = _each(result.data(0), backend.name, random)
        if len(outcomes) != shots:
            message = f"{backend.name} told {len(outcomes)} outcomes of {shots} shots"
            raise BackendError(message)
        for name, bits in places.items():
            found[name][place] = _packed(outcomes, circuit.num_clbits, bits)
    return {name: BitArray(array, len(places[name])) for name, array in found.items()}


def fields(circuit: QuantumCircuit) -> dict[str, list[int]]:
    """The bits of each classical register; one of no register stands by itself, as `bit3`."""
    found = {
        register.name: [circuit.find_bit(bit).index for bit in register]
        for register in circuit.cregs
        if register.size
    }
    held = set().union(*found.values())
    for bit in range(circuit.num_clbits):
        if bit in held:
            continue
        if (name := f"bit{bit}") in found:
            raise InvalidInputsError(
                f"a classical register has a name that is taken: {name} is bit {bit}, which is in "
                "no register"
            )
        found[name] = [bit]
    return found


def _each(data: Mapping[str, Any], name: str, random: np.random.Generator) -> Sequence[str]:
    """The outcome of each shot; of a device that tells counts alone, in an order that says nothing."""
    if "memory" in data:
        memory: Sequence[str] = data["memory"]
        return memory
    if "counts" not in data:
        raise BackendError(f"{name} told neither counts nor the outcome of each shot")
    print(f"{name} tells counts alone: the order of the shots is not the device's")  # noqa: T201 - the job's log
    counts = data["counts"]
    shuffled: list[str] = random.permutation(
        np.repeat(list(counts), list(counts.values()))
    ).tolist()
    return shuffled


def _packed(outcomes: Sequence[str], clbits: int, bits: Sequence[int]) -> Numbers:
    """Those *bits* of each outcome, the last one first, filled up to bytes from the left."""
    size, known = -(-clbits // 8), (1 << clbits) - 1
    blocks = []
    for start in range(0, len(outcomes), BLOCK):
        block = outcomes[start : start + BLOCK]
        data = b"".join((int(outcome, 16) & known).to_bytes(size, "big") for outcome in block)
        rows = np.frombuffer(data, np.uint8).reshape(len(block), size)
        each = np.unpackbits(rows, axis=1)[:, ::-1][:, bits][:, ::-1]
        filled = np.pad(each, ((0, 0), (-len(bits) % 8, 0)))
        blocks.append(np.packbits(filled, axis=1))
    return np.concatenate(blocks)

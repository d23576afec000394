"""Devices and circuits as plain values, which pass between the processes of programs and devices.

Nothing here is run or imported by whoever reads it: a program's process is not trusted by the one
that holds a vendor's credentials.
"""

from typing import Annotated, Any

import msgspec

MOST_CALL = 16 * 1024 * 1024  # bytes of one call's circuits
MOST_BITS = 10_000  # classical bits of a circuit
MOST_NUMBERS = 10_000_000  # of one array, and operations of one circuit

Index = Annotated[int, msgspec.Meta(ge=0, lt=MOST_BITS)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_BITS)]
Size = Annotated[int, msgspec.Meta(ge=0, le=MOST_NUMBERS)]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Qubits that a gate is on: how long it takes there, in seconds, and how often it fails."""

    qubits: tuple[Index, ...]
    duration: float | None = None
    error: float | None = None


class DescribedGate(msgspec.Struct, frozen=True, array_like=True):
    """A gate of a device; without *places* it is on all qubits."""

    name: str
    qubits: int
    parameters: int
    places: tuple[Place, ...] | None = None


class DescribedQubit(msgspec.Struct, frozen=True, array_like=True):
    """Seconds, and Hz."""

    t1: float | None = None
    t2: float | None = None
    frequency: float | None = None


class DescribedDevice(msgspec.Struct, frozen=True):
    """What circuits are compiled for."""

    name: str
    num_qubits: Count
    gates: tuple[DescribedGate, ...]
    qubits: tuple[DescribedQubit, ...] = ()
    dt: float | None = None  # s
    calibration: str = ""  # which one it is as of
    estimates: bool = False  # its vendor estimates expectation values by itself


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """One operation of a compiled circuit."""

    name: str
    parameters: tuple[float, ...] = ()
    qubits: tuple[Index, ...] = ()
    clbits: tuple[Index, ...] = ()
    unit: str = ""  # of a delay


class CompiledCircuit(msgspec.Struct, frozen=True):
    """A circuit of operations that the device has, on its own qubits. Equal ones are equal values:
    its name, which Qiskit counts up, is no part of it.
    """

    num_qubits: Count
    num_clbits: Count
    operations: tuple[Operation, ...]
    global_phase: float = 0.0


class Array(msgspec.Struct, frozen=True, array_like=True):
    """Numbers in rows; what is no finite number is None."""

    shape: tuple[Size, ...]
    numbers: tuple[float | None, ...]


class Variable(msgspec.Struct, frozen=True, array_like=True):
    """An argument of an operation that stands for a column of a pub's values."""

    operation: Size
    argument: Size
    column: Size


class Observables(msgspec.Struct, frozen=True, array_like=True):
    """Operators in rows, each with its terms: Pauli labels, whose last letter is qubit 0, and weights."""

    shape: tuple[Size, ...]
    operators: tuple[tuple[tuple[str, float], ...], ...]


class AskedPub(msgspec.Struct, frozen=True):
    """A circuit that prepares a state, observables and values, of shapes that go together.

    What the circuit has where *variables* are says nothing.
    """

    circuit: CompiledCircuit
    variables: tuple[Variable, ...]
    observables: Observables
    values: Array
    precision: float | None = None


class AskedEstimate(msgspec.Struct, frozen=True):
    """What a vendor is to estimate by itself, with options of its own."""

    pubs: tuple[AskedPub, ...]
    options: dict[str, Any] = {}


class Asked(msgspec.Struct, frozen=True):
    """One call of a program: circuits, and options of the run; or an estimate instead.

    A call is known by these bytes: whatever comes to it later is left out where it is not asked for.
    """

    circuits: tuple[CompiledCircuit, ...]
    options: dict[str, bool | int | float | str] = {}
    estimate: AskedEstimate | msgspec.UnsetType = msgspec.UNSET


class Outcomes(msgspec.Struct, frozen=True):
    """What one circuit measured, as hexadecimal numbers whose lowest bit is bit 0."""

    counts: dict[str, int]
    shots: int
    memory: tuple[str, ...] | None = None  # of each shot, if the vendor says so


class EstimatedPub(msgspec.Struct, frozen=True):
    """What a vendor has estimated for a pub: `evs`, `stds`, and whatever else it tells."""

    shape: tuple[Size, ...]
    fields: dict[str, Array]
    metadata: dict[str, Any] = {}


class Estimates(msgspec.Struct, frozen=True):
    """What a vendor has estimated, and what it says about it."""

    pubs: tuple[EstimatedPub, ...]
    metadata: dict[str, Any] = {}


class Answered(msgspec.Struct, frozen=True):
    """What came of a call: outcomes of each circuit or estimates, or why there are none."""

    outcomes: tuple[Outcomes, ...] = ()
    failure: str = ""
    estimates: Estimates | None = None

"""Mocks of backends: they take what those take, and run nothing of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit

from executors.backends.aer import LocalSimulator

_SAVES = "save_"  # instructions of Aer that save what it computes


class MockSimulator(LocalSimulator):
    """Answers in the form that a simulator has, at once: of the state that all circuits begin in."""

    of: str  # the backend that it stands for

    @property
    def notice(self) -> str:
        """What a job's log is to say of it."""
        return f"dry run: no circuit is run on {self.of}, and every outcome is all zeros\n"

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        """As many results as *circuits* have, with their values; options are Aer's."""
        listed = [circuits] if isinstance(circuits, QuantumCircuit) else circuits
        options["method"] = "automatic"  # which takes the cheapest
        return LocalSimulator.run(self, list(_emptied(listed, parameter_binds)), **options)


def mock(backend: LocalSimulator, name: str) -> LocalSimulator:
    """The mock of *backend*."""
    made = copy.copy(backend)
    made.__class__ = type("Mock", (MockSimulator, type(backend)), {})
    made.name, made.of = name, backend.name
    return made


def _emptied(
    circuits: Sequence[QuantumCircuit], binds: Sequence[Mapping[Any, Any]] | None
) -> Iterator[QuantumCircuit]:
    """*circuits* without what they do, as often as there are values for their parameters."""
    for number, circuit in enumerate(circuits):
        values = list(binds[number].values()) if binds else []
        made = circuit.copy_empty_like()
        made.global_phase = 0
        for item in circuit.data:
            if item.name.startswith(_SAVES):
                made._append(item)
        if circuit.qubits:
            for bit in circuit.clbits:
                made.measure(circuit.qubits[0], bit)
        yield from [made] * (len(values[0]) if values else 1)

"""Programs that make calls to their device."""

import random
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile

HERE = "tests.support.device_programs"
PROGRAMS = {
    name.replace("_", "-"): f"{HERE}:{name}"
    for name in (
        "calls",
        "calls_together",
        "calls_nothing",
        "calls_what_is_not_there",
        "calls_with_control_flow",
        "calls_by_chance",
        "leaves_a_call",
        "tells_its_environment",
    )
}


def bell(backend: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return transpile(circuit, backend, seed_transpiler=1)


def flip(backend: Any, number: int) -> QuantumCircuit:
    """Measures *number*."""
    circuit = QuantumCircuit(3, 3)
    for bit in range(3):
        if number >> bit & 1:
            circuit.x(bit)
    circuit.measure(range(3), range(3))
    return transpile(circuit, backend, seed_transpiler=1)


def calls(backend: Any, user_messenger: Any, times: int = 1, **_: Any) -> Any:
    """What each of its calls has measured, one after the other."""
    found = []
    for number in range(times):
        found.append(backend.run(flip(backend, number), shots=10).result().get_counts())
        user_messenger.publish(number)
    return found


def calls_together(backend: Any, user_messenger: Any, times: int = 3, **_: Any) -> Any:
    jobs = [backend.run(flip(backend, number), shots=10) for number in range(times)]
    return [job.result().get_counts() for job in reversed(jobs)][::-1]


def calls_by_chance(backend: Any, user_messenger: Any, **_: Any) -> Any:
    """With angles of three generators, none of which it gives a seed."""
    drawn = random.random(), np.random.random(), np.random.default_rng().random()
    circuit = QuantumCircuit(1, 1)
    for angle in drawn:
        circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return backend.run(transpile(circuit, backend, seed_transpiler=1)).result().get_counts()


def calls_nothing(backend: Any, user_messenger: Any, **_: Any) -> str:
    return "done"


def calls_what_is_not_there(backend: Any, user_messenger: Any, **_: Any) -> Any:
    circuit = QuantumCircuit(2, 2)
    circuit.rxx(0.3, 0, 1)
    circuit.measure([0, 1], [0, 1])
    return backend.run(circuit).result().get_counts()


def calls_with_control_flow(backend: Any, user_messenger: Any, **_: Any) -> Any:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    return backend.run(circuit).result().get_counts()


def leaves_a_call(backend: Any, user_messenger: Any, **_: Any) -> str:
    backend.run(bell(backend))
    return "did not wait"


def tells_its_environment(backend: Any, user_messenger: Any, **_: Any) -> Any:
    """Its own and, as far as it can, that of all processes."""
    import os
    from pathlib import Path

    found = [dict(os.environ)]
    counts = backend.run(bell(backend), shots=1).result().get_counts()
    return {
        "own": found,
        "ran": sum(counts.values()),
        "parent": Path("/proc/self/environ").read_text(),
    }

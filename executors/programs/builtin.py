"""The built-in programs by id: their code, and their specifications with the schemas compiled."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from executors.backends import aer
from executors.backends.catalogue import backend
from executors.programs import transpiling
from executors.programs.circuits import read_circuit
from schemas.specification import Program, Specification, parse_specification

ENTRIES = {
    "sampler": "executors.programs.sampler:main",
    "circuit-runner": "executors.programs.circuit_runner:main",
    "sample-program": "executors.programs.sample_program:main",
    "estimator": "executors.programs.estimator:main",
    "executor": "executors.programs.quantum_program:main",
    "hello-world": "executors.programs.hello_world:main",
    "qasm3-runner": "executors.programs.qasm3_runner:main",
    "quantum-kernel-alignment": "executors.programs.quantum_kernel_alignment:main",
    "vqe": "executors.programs.vqe:main",
}  # where each program's `main` is

_WARM_UP = (
    'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; h q[0]; measure q -> c;',
    'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;',
)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A program that can be run here."""

    program: Program
    main: Callable[..., Any]


_BUILT_IN = frozenset(ENTRIES.items())


class UnknownProgramError(Exception):
    """There is no built-in program of that id."""


def add(entries: Mapping[str, str]) -> None:
    """Offer more programs, each as `module:function`; they are trusted like the built-in ones."""
    ENTRIES.update(entries)


def is_built_in(program_id: str) -> bool:
    """Whether the program of that id is one that comes with this."""
    return (program_id, ENTRIES.get(program_id)) in _BUILT_IN


@cache
def load(program_id: str) -> BuiltIn:
    """The program of that id; raises `UnknownProgramError`."""
    if program_id not in ENTRIES:
        raise UnknownProgramError(f"this worker has no program {program_id!r}")
    module, _, function = ENTRIES[program_id].partition(":")
    main = getattr(importlib.import_module(module), function)
    return BuiltIn(Program(_specification(program_id)), main)


def _specification(program_id: str) -> Specification:
    """What the program declares; one without a file takes and gives anything."""
    file = resources.files("schemas") / "programs" / f"{program_id}.json"
    if file.is_file():
        return parse_specification(file.read_bytes())
    return Specification(id=program_id, name=program_id, max_execution_time=0)


def warm_up() -> None:
    """Run a circuit for nothing: the first one of a process takes 20 ms longer than the next."""
    circuit = read_circuit(_WARM_UP[0], "circuit")
    backend(aer.NAME).run(circuit, shots=1).result()


def preload() -> None:
    """Import and build whatever the first job would have to wait for; runs no circuit."""
    for program_id in ENTRIES:
        load(program_id)
    for text in _WARM_UP:
        read_circuit(text, "circuit")
    transpiling.preload()

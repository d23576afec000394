"""The built-in programs by id: their code, and their specifications with the schemas compiled."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from executors.programs import transpiling
from executors.programs.circuits import read_circuit
from schemas.specification import Program, parse_specification

PROGRAMS = ("sampler", "circuit-runner", "sample-program", "hello-world")

_WARM_UP = (
    'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; h q[0]; measure q -> c;',
    'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;',
)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A program that can be run here."""

    program: Program
    main: Callable[..., Any]


class UnknownProgramError(Exception):
    """There is no built-in program of that id."""


@cache
def load(program_id: str) -> BuiltIn:
    """The program of that id; raises `UnknownProgramError`."""
    if program_id not in PROGRAMS:
        raise UnknownProgramError(f"this worker has no program {program_id!r}")
    module = importlib.import_module(f"executors.programs.{program_id.replace('-', '_')}")
    file = resources.files("schemas") / "programs" / f"{program_id}.json"
    return BuiltIn(Program(parse_specification(file.read_bytes())), module.main)


def preload() -> None:
    """Import and build whatever the first job would have to wait for; runs no circuit."""
    for program_id in PROGRAMS:
        load(program_id)
    for text in _WARM_UP:
        read_circuit(text, "circuit")
    transpiling.preload()

"""What Aer says of a run that failed, as an error of ours: whose fault, in one sentence.

Aer estimates the memory of each circuit before it simulates, by the method that it uses and for
the qubits that are left after its own truncation. Its numbers are told, with what would fit.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit.result import Result

from executors import memory
from executors.backends import aer
from executors.faults import BackendError, InvalidInputsError
from schemas.limits import MIB

_TOO_LITTLE = re.compile(r"nsufficient memory|more memory than max_memory_mb")
_OUT_OF_MEMORY = re.compile(r"bad_alloc|bad allocation|annot allocate|cudaErrorMemoryAllocation")
_UNKNOWN = re.compile(r"contains invalid (?:instructions|parameters)|Invalid gate operation")
_QUOTED = re.compile(r'"(?:gates|instructions)": \{([^}]*)\}')
_METHOD = re.compile(r'"(\w+)" method|using the (\w+) simulator')


@dataclass(frozen=True, slots=True)
class Failed:
    """One circuit of a run that failed."""

    where: str
    text: str  # Aer's words
    method: str
    needs: int  # MiB, as Aer estimates; 0 if it does not say
    available: int  # MiB
    precision: str  # of the numbers: single or double
    chosen: bool  # the method was asked for
    on_gpu: bool  # its memory is what is available


def failure(result: Result, options: Mapping[str, Any]) -> Exception:
    """What to raise for *result*, of a run with *options*, that is no success."""
    failed = _first(result, options)
    if _OUT_OF_MEMORY.search(failed.text):
        return MemoryError(failed.text)
    if _TOO_LITTLE.search(failed.text):
        return BackendError(_memory(failed))
    if _UNKNOWN.search(failed.text):
        kind = InvalidInputsError if failed.chosen else BackendError
        return kind(_lacking(failed))
    return BackendError(f"{failed.where}: {_plain(failed.text)}")


def _first(result: Result, options: Mapping[str, Any]) -> Failed:
    number, text = 0, str(result.status)
    about: Mapping[str, Any] = {}
    for index, found in enumerate(result.results):
        if not found.success:
            number, text, about = index, str(found.status), found.metadata or {}
            break
    named = _METHOD.search(text)
    everywhere = result.metadata or {}
    on_gpu = int(everywhere.get("max_gpu_memory_mb") or 0)
    method = (named[1] or named[2]) if named else about.get("method") or options.get("method")
    if method in (None, "automatic"):
        method = "statevector"  # what Aer takes for what needs so much
    return Failed(
        where=f"circuits[{number}]",
        text=text,
        method=str(method),
        needs=int(about.get("required_memory_mb") or 0),
        available=int(everywhere.get("max_memory_mb") or 0) + on_gpu,
        precision=str(options.get("precision", "double")),
        chosen=options.get("method", "automatic") != "automatic",
        on_gpu=on_gpu > 0,
    )


def _plain(text: str) -> str:
    lines = text.removeprefix("ERROR:").strip().splitlines()
    return lines[0][:300] if lines else "it failed"


def _memory(failed: Failed) -> str:
    needs = (
        f"needs {memory.told(failed.needs * MIB)} of memory"
        if 0 < failed.needs < 2**62
        else "needs more memory"
    )
    told = f"{failed.where} {needs} with method {failed.method}, {memory.told(failed.available * MIB)} are available"
    most = most_qubits(failed.method, failed.available, failed.precision)
    if most is not None:
        told += f": {most} qubits is the most for {failed.method} here"
    return told + _advice(failed)


def _advice(failed: Failed) -> str:
    if failed.on_gpu:
        return f"; try the backend {aer.NAME}"
    if failed.method == "density_matrix" and 0 < failed.needs < 2**62:
        qubits = math.log2(failed.needs * MIB / _bytes(failed.precision)) / 2
        if qubits <= (most_qubits("statevector", failed.available, failed.precision) or 0):
            return "; try method=statevector"
    return "" if failed.method == "matrix_product_state" else "; try method=matrix_product_state"


def most_qubits(method: str, available: int, precision: str) -> int | None:
    """The widest circuit that *method* simulates in *available* MiB, where width decides."""
    if method not in ("statevector", "density_matrix") or available < 1:
        return None
    qubits = int(math.log2(available * MIB / _bytes(precision)))
    return qubits if method == "statevector" else qubits // 2


def _bytes(precision: str) -> int:
    """Of one complex number."""
    return 8 if precision == "single" else 16


def _lacking(failed: Failed) -> str:
    names = _QUOTED.search(failed.text)
    what = f"has {names[1]}, which" if names else "has operations that"
    return f"{failed.where} {what} method {failed.method} does not simulate"

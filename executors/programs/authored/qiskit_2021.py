"""Functions that Qiskit had: `execute`, `BasicAer`, `job_monitor`, `transpile` with method names of then."""

import inspect
from typing import Any

from qiskit import QuantumCircuit
from qiskit.compiler.transpiler import transpile as _transpile
from qiskit.transpiler.exceptions import TranspilerError
from qiskit.utils import parallel_map
from qiskit_aer import Aer

from executors.faults import InvalidInputsError
from executors.programs.transpiling import nearest_method

__all__ = ["BasicAer", "execute", "job_monitor", "parallel_map", "transpile"]

_OF_TRANSPILE = frozenset(inspect.signature(_transpile).parameters) - {"circuits", "backend"}
_STAGES = ("layout", "routing", "translation")
_OF_JOBS = ("schedule_circuit", "pass_manager", "backend_properties", "inst_map")


def transpile(circuits: Any, backend: Any = None, *args: Any, **options: Any) -> Any:
    """*circuits* for *backend*; a method that is gone is replaced by the nearest, with a warning."""
    for stage in _STAGES:
        if isinstance(method := options.get(f"{stage}_method"), str):
            options[f"{stage}_method"] = _nearest(stage, method)
    return _transpile(circuits, backend, *args, **options)


def _nearest(stage: str, method: str) -> str:
    try:
        return nearest_method(stage, method)
    except InvalidInputsError as error:  # it need be none of the job's inputs
        raise TranspilerError(str(error)) from None


def execute(experiments: Any, backend: Any, **options: Any) -> Any:
    """Transpile, and run with what is no option of `transpile`; the job."""
    for name in _OF_JOBS:
        if options.pop(name, None) is not None:
            raise TypeError(f"execute: {name} is gone from Qiskit; transpile, then backend.run")
    binds = options.pop("parameter_binds", None)
    chosen = {name: options.pop(name) for name in _OF_TRANSPILE & options.keys()}
    ready = transpile(experiments, backend, **chosen)
    listed = [ready] if isinstance(ready, QuantumCircuit) else list(ready)
    return backend.run(_bound(listed, binds), **options)


def _bound(circuits: list[QuantumCircuit], binds: Any) -> list[QuantumCircuit]:
    """Each of *circuits* with each of the values in *binds*, as `execute` had it."""
    if not binds:
        return circuits
    return [circuit.assign_parameters(values) for circuit in circuits for values in binds]


def job_monitor(job: Any, *_: Any, **__: Any) -> None:
    """Wait until *job* is done."""
    job.result()


class _BasicAer:
    """Qiskit's own simulators of then, by those of Aer of the same names."""

    _NAMES = ("qasm_simulator", "statevector_simulator", "unitary_simulator")

    def backends(self, name: str | None = None, **_: Any) -> list[Any]:
        """All of them, or the one called *name*."""
        return [Aer.get_backend(one) for one in self._NAMES if name in (None, one)]

    def get_backend(self, name: str | None = None, **_: Any) -> Any:
        """The one called *name*."""
        return Aer.get_backend(name or self._NAMES[0])


BasicAer = _BasicAer()

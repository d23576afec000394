"""Options of the V2 primitives: which are honoured here, which change nothing, and which can not be
met on a simulator. What can not is refused by its name, if it is asked for.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame, within
from executors.programs.expectation import Numbers
from executors.programs.options import unknown

_KNOWN = frozenset(
    {"environment", "execution", "experimental", "max_execution_time", "simulator"}
    | {"optimization_level", "transpilation", "default_precision", "default_shots"}
    | {"seed_estimator", "resilience_level", "resilience", "twirling", "dynamical_decoupling"}
)  # the groups and options that there are
_NOISE = "on a simulator the noise is the backend's: choose a backend with noise instead"
_REFUSED = {
    "resilience.zne_mitigation": "there is no zero-noise extrapolation here",
    "resilience.pec_mitigation": "there is no probabilistic error cancellation here",
    "dynamical_decoupling.enable": "the noise of the simulators here has no memory for it to undo",
    "twirling.enable_measure": "only gates are twirled here",
    "simulator.noise_model": _NOISE,
    "simulator.coupling_map": "the backend has its own",
    "simulator.basis_gates": "the backend has its own",
    "execution.meas_type": "only classified outcomes are given here",
}
_PLAIN = {"execution.meas_type": ("classified",)}  # values that ask for nothing special


def check(options: Mapping[str, Any], refused: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise `InvalidInputsError` for what is not known or, as what is *refused*, not honoured."""
    check_names(options)
    whys = {**_REFUSED, **refused}
    for path, value in _flat(options, ""):
        if path in whys and value not in _PLAIN.get(path, ()):
            raise InvalidInputsError(f"options.{path} can not be honoured: {whys[path]}")
        if path.startswith("experimental."):
            raise InvalidInputsError(f"options.{path} can not be honoured: it is experimental")


def check_names(options: Mapping[str, Any]) -> None:
    """Raise `InvalidInputsError` for an option that there is not, or a group."""
    if others := set(options) - _KNOWN:
        raise unknown("there is no option", others, _KNOWN)


def plain(value: Any, where: str) -> Any:
    """*value* in JSON, as a client has sent it; raises `InvalidInputsError`."""
    match value:
        case Mapping():
            return {str(name): plain(each, f"{where}.{name}") for name, each in value.items()}
        case list() | tuple():
            return [plain(each, f"{where}[{number}]") for number, each in enumerate(value)]
        case np.ndarray() | np.generic():
            return plain(value.tolist(), where)
        case None | bool() | int() | float() | str():
            return value
        case _:
            pass
    raise InvalidInputsError(f"{where} is a {type(value).__name__}: only JSON is passed on")


def _flat(options: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """What is asked for: neither null nor false nor empty."""
    for name, value in options.items():
        if isinstance(value, Mapping) and path + name not in _REFUSED:
            yield from _flat(value, f"{path}{name}.")
        elif value not in (None, False, [], {}, "", 0):
            yield path + name, value


def nested(options: Mapping[str, Any], group: str, name: str) -> Any:
    """The option of that *name* in that *group*, None where it is not given."""
    found = options.get(group)
    if found is not None and not isinstance(found, Mapping):
        raise InvalidInputsError(f"options.{group} must be an object")
    return found.get(name) if found else None


def whole(value: Any, field: str, least: int, most: int) -> int | None:
    """*value* as a whole number in those bounds, None if it is None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise InvalidInputsError(f"{field} must be a whole number")
    if not least <= value <= most:
        raise InvalidInputsError(f"{field} is {value}: {least:,} to {most:,} is taken")
    return int(value)


def is_mitigating(level: Any, field: str) -> bool:
    """Whether that level of resilience corrects readout errors."""
    found = whole(level, field, 0, 3)
    if found is not None and found > 1:
        raise InvalidInputsError(
            f"{field} {found} can not be honoured: it extrapolates to zero noise or cancels "
            "errors, and there is neither here; 1 corrects readout errors"
        )
    return found == 1


def in_place(circuit: QuantumCircuit, backend: LocalSimulator) -> Mapping[str, Any]:
    """Circuits of V2 are compiled already: their qubits are the backend's."""
    if backend.is_ideal:
        return {"optimization_level": 0}
    return {"optimization_level": 0, "initial_layout": list(range(circuit.num_qubits))}


def read_values(value: Any, where: str, circuit: QuantumCircuit) -> Numbers:
    """Values of the parameters, which are the last dimension."""
    wanted = circuit.num_parameters
    if isinstance(value, Mapping):
        value = _by_name(value, where, circuit)
    with blame(InvalidInputsError, f"{where} must be numbers"):
        found: Numbers = np.array([] if value is None else value)
        if found.size and found.dtype.kind not in "iuf":
            raise InvalidInputsError(f"{where} must be numbers")
        found = found.astype(float)
    if wanted == 1 and found.size and found.shape[-1:] != (1,):
        found = found[..., np.newaxis]
    if found.ndim == 0 or found.shape[-1] != wanted:
        names = ", ".join(parameter.name for parameter in circuit.parameters)[:300] or "none"
        raise InvalidInputsError(
            f"{where} has the shape {found.shape}, and the circuit {wanted} parameters: {names}"
        )
    if not np.all(np.isfinite(found)):
        raise InvalidInputsError(f"{where} has a value that is no finite number")
    return found


def _by_name(value: Mapping[Any, Any], where: str, circuit: QuantumCircuit) -> Any:
    names = [parameter.name for parameter in circuit.parameters]
    if set(map(str, value)) != set(names):
        raise InvalidInputsError(
            f"{where} must name each of the circuit's parameters: {', '.join(names)[:300]}"
        )
    if not names:
        return None
    with blame(InvalidInputsError, f"{where} must be numbers of one shape"):
        return np.stack([np.asarray(value[name]) for name in names], axis=-1)


def compiler_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the transpiler, as V1 primitives have them."""
    with within("transpilation_settings"):
        chosen = {name: value for name, value in settings.items() if value not in (None, {})}
        level = nested(chosen, "optimization_settings", "level")
        skipped = bool(chosen.pop("skip_transpilation", False))
        chosen.pop("optimization_settings", None)
        wanted = whole(level, "optimization_settings.level", 0, 3)
    if skipped:
        return {"optimization_level": 0}
    return chosen if wanted is None else {**chosen, "optimization_level": wanted}

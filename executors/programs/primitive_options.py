"""Options of the V2 primitives: which are honoured here, which change nothing, and which can not be
met on a simulator. What can not is refused by its name, if it is asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from executors.faults import InvalidInputsError
from executors.programs.options import unknown

_NO_EFFECT = frozenset(
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


def check(options: Mapping[str, Any], more: frozenset[str] = frozenset()) -> None:
    """Raise `InvalidInputsError` for what is not known, or can not be honoured; *more* is known."""
    known = _NO_EFFECT | more
    if others := set(options) - known:
        raise unknown("there is no option", others, known)
    for path, value in _flat(options, ""):
        if path in _REFUSED and value not in _PLAIN.get(path, ()):
            raise InvalidInputsError(f"options.{path} can not be honoured: {_REFUSED[path]}")
        if path.startswith("experimental."):
            raise InvalidInputsError(f"options.{path} can not be honoured: it is experimental")


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

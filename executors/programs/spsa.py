"""SPSA and QN-SPSA of qiskit-algorithms: their settings as the programs of 2021 take them.

The library is loaded by the first attempt that needs it: to load it takes 0.4 s and 25 MiB.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from executors.faults import InvalidInputsError, blame
from executors.programs.options import unknown

NATURAL = frozenset({"QN-SPSA", "QNSPSA"})
MOST_HISTORY = 20_000_000  # numbers: iterations times parameters
MOST_CURVED = 1_000  # parameters where an optimizer keeps a matrix of them
_TAKEN = frozenset(
    {"maxiter", "blocking", "allowed_increase", "learning_rate", "perturbation", "last_avg"}
    | {"resamplings", "perturbation_dims", "regularization", "hessian_delay", "initial_hessian"}
)
_FIRST_ORDER = frozenset({"trust_region", "second_order"})
DEFAULT_ITERATIONS = 100
FLAT = 0.1  # learning rate and perturbation where all values that calibrate them are the same

Callback = Callable[[int, Any, float, float, bool], None]


def settings(given: Mapping[str, Any], parameters: int) -> dict[str, Any]:
    """Those of the optimizer as its library wants them; raises `InvalidInputsError`."""
    found = {name: value for name, value in given.items() if value is not None}
    natural = str(found.pop("name", "SPSA")).upper() in NATURAL
    known = _TAKEN - {"last_avg"} if natural else _TAKEN | _FIRST_ORDER
    if others := set(found) - known:
        raise unknown("the optimizer has no option", others, known)
    found.setdefault("maxiter", DEFAULT_ITERATIONS)
    _check_sizes(found, parameters, natural)
    for name in ("learning_rate", "perturbation"):
        if name in found:
            found[name] = _rates(found[name], name, found["maxiter"])
    if ("learning_rate" in found) != ("perturbation" in found):
        raise InvalidInputsError("optimizer: learning_rate and perturbation go together: give both")
    if "initial_hessian" in found:
        found["initial_hessian"] = _matrix(found["initial_hessian"], parameters)
    return found


def _check_sizes(found: Mapping[str, Any], parameters: int, natural: bool) -> None:
    if found["maxiter"] * parameters > MOST_HISTORY:
        raise InvalidInputsError(
            f"optimizer.maxiter {found['maxiter']:,} with {parameters:,} parameters is a history "
            f"of more than {MOST_HISTORY:,} numbers"
        )
    if (natural or found.get("second_order")) and parameters > MOST_CURVED:
        raise InvalidInputsError(
            f"optimizer: second order takes at most {MOST_CURVED:,} parameters, there are "
            f"{parameters:,}"
        )
    if found.get("perturbation_dims", 1) > parameters:
        raise InvalidInputsError(
            f"optimizer.perturbation_dims is {found['perturbation_dims']}, and there are "
            f"{parameters} parameters"
        )
    if found.get("last_avg", 1) > found["maxiter"]:
        raise InvalidInputsError("optimizer.last_avg is more than optimizer.maxiter")


def _rates(value: Any, name: str, iterations: int) -> Any:
    """A number for all iterations, or one for each."""
    if isinstance(value, int | float):
        return float(value)
    rates = numbers(value, f"optimizer.{name}")
    if rates.size < iterations or np.any(rates <= 0):
        raise InvalidInputsError(
            f"optimizer.{name} has {rates.size} numbers: a positive one for each of "
            f"{iterations} iterations is wanted"
        )
    return rates


def _matrix(value: Any, parameters: int) -> Any:
    with blame(InvalidInputsError, "optimizer.initial_hessian"):
        found = np.asarray(value, dtype=float)
    if found.shape != (parameters, parameters) or not np.all(np.isfinite(found)):
        raise InvalidInputsError(
            f"optimizer.initial_hessian must be {parameters} by {parameters} finite numbers"
        )
    return found


def numbers(value: Any, field: str, size: int | None = None) -> Any:
    """*value* as a vector of finite numbers, of that *size*; raises `InvalidInputsError`."""
    with blame(InvalidInputsError, f"{field} must be a list of numbers"):
        found = np.array(value)
        if found.dtype.kind not in "iuf" and found.size:
            raise InvalidInputsError(f"{field} must be a list of numbers")
        found = found.astype(float)
    if found.ndim != 1:
        raise InvalidInputsError(f"{field} must be a list of numbers, and has {found.ndim} levels")
    if size is not None and found.size != size:
        raise InvalidInputsError(f"{field} has {found.size} numbers, and {size} are wanted")
    if not np.all(np.isfinite(found)):
        place = int(np.flatnonzero(~np.isfinite(found))[0])
        raise InvalidInputsError(f"{field}[{place}] is {found[place]}, no finite number")
    return found


def minimize(
    loss: Callable[[Any], Any],
    start: Any,
    chosen: Mapping[str, Any],
    seed: int,
    callback: Callback | None = None,
    fidelity: Callable[[Any, Any], Any] | None = None,
    grouped: int = 1,
) -> Any:
    """The result of the optimizer with settings *chosen*: of QN-SPSA, where *fidelity* is given.

    *grouped*: at how many points at once *loss* and *fidelity* can be asked; then they are given
    rows of them, but for a single one.
    """
    from qiskit_algorithms.optimizers import QNSPSA, SPSA
    from qiskit_algorithms.utils import algorithm_globals

    algorithm_globals.random_seed = seed  # for each run: the next in this process draws others
    if "learning_rate" not in chosen:
        chosen = {**chosen, **_calibrated(loss, start, grouped)}
    made = (
        SPSA(callback=callback, **chosen)
        if fidelity is None
        else QNSPSA(fidelity, callback=callback, **chosen)
    )
    made.set_max_evals_grouped(grouped)
    return made.minimize(loss, start)


def _calibrated(loss: Callable[[Any], Any], start: Any, grouped: int) -> dict[str, Any]:
    """The library's rates for *loss* at *start*; where that is flat they would be infinite."""
    from qiskit_algorithms.optimizers import SPSA

    with np.errstate(divide="ignore"):
        rate, perturbation = SPSA.calibrate(loss, np.asarray(start), max_evals_grouped=grouped)
    if not np.isfinite(next(rate())):
        return {"learning_rate": FLAT, "perturbation": FLAT}
    return {"learning_rate": rate, "perturbation": perturbation}

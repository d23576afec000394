"""How many shots a job's inputs ask for, as far as that can be read without building circuits.

Each circuit or pub counts once, however many values its parameters have.
"""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any

MOST = 10**12  # that are counted of one job, whatever it claims


def shots_in(inputs: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    """The shots that *inputs* ask for; *defaults*: of those that are left out.

    Of pubs each says its own, or a precision that takes as many; else `shots`, or those of
    `run_options`, for each of the `circuits`. 0: none, or nobody can tell.
    """
    if isinstance(pubs := inputs.get("pubs"), list):
        options = _object(inputs.get("options"))
        return min(MOST, sum(_of_pub(pub, options) for pub in pubs))
    running = _object(inputs.get("run_options"))
    shots = running.get("shots") or inputs.get("shots") or defaults.get("shots")
    circuits = inputs.get("circuits")
    number = len(circuits) if isinstance(circuits, list) else 1
    return min(MOST, _whole(shots) * number)


def _of_pub(pub: Any, options: Mapping[str, Any]) -> int:
    """Of a pub of the sampler `[circuit, values, shots]`, or of the estimator, with its precision."""
    parts = pub if isinstance(pub, list) else [pub]
    if len(parts) == 3 and (shots := _whole(parts[2])):
        return shots
    if len(parts) == 4 and parts[3] is not None:
        return _of_precision(parts[3])
    if (precision := options.get("default_precision")) is not None:
        return _of_precision(precision)
    return _whole(options.get("default_shots")) or 4096


def _of_precision(value: Any) -> int:
    """As many as it takes; 0 for exact values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return 0  # so large a number is a float: no JSON is read otherwise
    return min(MOST, ceil((1 / value) ** 2)) if value > 1e-9 else 0


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return 0
    return min(MOST, max(0, int(value)))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

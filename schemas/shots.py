"""How many shots a job's inputs ask for, as far as that can be read without building circuits.

Each circuit or pub counts once, however many values its parameters have.
"""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any

MOST = 10**12  # that are counted of one job, whatever it claims


# What a program of the first primitives is given, and one of 2021 is not: see `sampler`.
_OF_V1 = (
    "circuit_indices",
    "parameters",
    "transpilation_settings",
    "resilience_settings",
    "run_options",
)


def shots_in(inputs: Mapping[str, Any], declared: Mapping[str, Any]) -> int:
    """The shots that *inputs* ask for; *declared*: the schemas of those that the program has.

    Of pubs each says its own, or a precision that takes as many; a quantum program says those of
    its items; else they stand in `run_options`, by themselves or in `run_config`, or are the
    default there, for each of the `circuits`. 0: none, or nobody can tell.
    """
    if isinstance(pubs := inputs.get("pubs"), list):
        options = _object(inputs.get("options"))
        return min(MOST, sum(_of_pub(pub, options) for pub in pubs))
    if isinstance(program := inputs.get("quantum_program"), dict):
        return min(MOST, _whole(program.get("shots")) * _length(program.get("items")))
    named = inputs.get("circuit_indices")
    number = _length(named if isinstance(named, list) else inputs.get("circuits"))
    return min(MOST, _of_each(inputs, declared) * number)


def _of_each(inputs: Mapping[str, Any], declared: Mapping[str, Any]) -> int:
    running, config = (_object(inputs.get(name)) for name in ("run_options", "run_config"))
    alone = inputs.get("shots") if "shots" in declared or not declared else None
    for asked in (running.get("shots"), alone, config.get("shots")):
        if asked is not None:
            return _whole(asked)
    is_v1 = any(inputs.get(name) is not None for name in _OF_V1)
    places = [
        declared,
        *(_properties(declared.get(name)) for name in ("run_config", "run_options")),
    ]
    for place in reversed(places) if is_v1 or "run_config" not in declared else places:
        if usual := _whole(_object(place.get("shots")).get("default")):
            return usual
    return 0


def _properties(schema: Any) -> Mapping[str, Any]:
    return _object(_object(schema).get("properties"))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


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
    return min(MOST, ceil((1 / min(value, 1)) ** 2)) if value > 1e-9 else 0


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return 0
    return min(MOST, max(0, int(value)))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

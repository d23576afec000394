"""Estimates that the vendor of a device makes by itself, with options of its own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit.primitives import PrimitiveResult, PubResult

from executors.backends.described import AskedEstimate, AskedPub
from executors.backends.estimated import asked_pub, result_of
from executors.backends.remote import RemoteDevice
from executors.faults import InvalidInputsError
from executors.programs import primitive_options
from executors.programs.estimator_pubs import Pub
from executors.programs.primitive_options import in_place, nested, plain
from executors.programs.transpiling import transpiled

_OF_PRECISION = ("default_precision", "default_shots", "seed_estimator")
_OURS = ("environment",)  # the vendor's job is one of ours
_GROUPS = (
    *("resilience", "twirling", "dynamical_decoupling"),
    *("execution", "experimental", "simulator", "environment"),
)


def estimated_by_vendor(
    backend: RemoteDevice, pubs: Sequence[Pub], options: Mapping[str, Any], level: Any, method: Any
) -> PrimitiveResult[PubResult]:
    """What the vendor of *backend* makes of *pubs*, as one job of it."""
    primitive_options.check_names(options)
    for group in _GROUPS:
        nested(options, group, "")  # which raises if it is none
    if method not in (None, "automatic"):
        raise InvalidInputsError(f"method is {method}, and {backend.name} is no simulator")
    chosen = {
        name: value for name, value in options.items() if value is not None and name not in _OURS
    }
    if level is not None:
        chosen["resilience_level"] = level
    asked = tuple(_asked(pub, number, backend) for number, pub in enumerate(pubs))
    return result_of(backend.estimate(AskedEstimate(asked, plain(chosen, "options"))))


def of_precision(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of *options* that say how precise estimates are to be, wherever they are made."""
    return {name: options[name] for name in _OF_PRECISION if name in options}


def _asked(pub: Pub, number: int, backend: RemoteDevice) -> AskedPub:
    """The pub, compiled; its operators are on the device's qubits."""
    (circuit,) = transpiled([pub.state], backend, in_place(pub.state, backend))
    placed: dict[int, Any] = {}
    observables = np.empty(pub.observables.shape, dtype=object)
    for place in np.ndindex(*pub.observables.shape):
        operator: Any = pub.observables[place]
        if id(operator) not in placed:
            placed[id(operator)] = operator.apply_layout(circuit.layout, circuit.num_qubits)
        observables[place] = placed[id(operator)]
    precision = _precision(pub.precision, f"pubs[{number}][3]")
    return asked_pub(
        circuit, observables, list(pub.state.parameters), pub.values, precision, number
    )


def _precision(value: Any, where: str) -> float | None:
    """None where the options say it, or nobody."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise InvalidInputsError(f"{where} is {value!r:.60}: a device takes a number above 0")
    return float(value)

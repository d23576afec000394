"""Calls as jobs of IBM's primitives, on a backend or in a session there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from executors.hardware.said import RefusedError
from executors.hardware.vendors.telling import told
from schemas.requests import ONCE

if TYPE_CHECKING:
    from qiskit_ibm_runtime import IBMBackend, RuntimeJobV2, Session


@dataclass(frozen=True, slots=True)
class Otherwise:
    """Where calls go that a session refuses, and who hears of that."""

    where: "Primitives"
    say: Callable[[str], None]


class Primitives:
    """Those of *mode*. *keep*: takes a job, and says its id. *tag*: of all its jobs, beside their own."""

    def __init__(
        self,
        mode: "IBMBackend | Session",
        keep: Callable[["RuntimeJobV2"], str],
        tag: str | None = None,
        otherwise: Otherwise | None = None,
    ) -> None:
        self._mode, self._keep, self._otherwise = mode, keep, otherwise
        self._tags = (tag,) if tag else ()

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """One job of the program `sampler`."""
        from qiskit_ibm_runtime import SamplerV2

        shots = options.get("shots")
        return self._run(SamplerV2, {}, [(circuit, None, shots) for circuit in circuits], tag)

    def estimate(self, pubs: Sequence[EstimatorPub], options: Mapping[str, Any], tag: str) -> str:
        """One job of the program `estimator`."""
        from qiskit_ibm_runtime import EstimatorV2

        return self._run(EstimatorV2, options, pubs, tag)

    def _run(
        self, primitive: Callable[..., Any], options: Mapping[str, Any], pubs: Any, tag: str
    ) -> str:
        """Raises `RefusedError` of what IBM's client does not take of *options*, by name."""
        from pydantic import ValidationError

        chosen = {**options, "environment": {"job_tags": [ONCE + tag, *self._tags]}}
        with told():
            try:
                made = primitive(self._mode, chosen)
            except ValidationError as error:
                raise RefusedError(_named(error.errors(), options)) from error
        try:
            with told():
                return self._keep(made.run(pubs))
        except RefusedError as error:
            if self._otherwise is None:
                raise
            # There may be too little left of it for these circuits. What was refused has not begun.
            self._otherwise.say(f"is refused there, and goes alone: {error}")
            return self._otherwise.where._run(primitive, options, pubs, tag)


def _named(errors: Iterable[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    """What IBM's client does not take of *options*, by name. It also says which of its own types each
    is not.
    """
    found = []
    for each in errors:
        path, inner = "options", options
        if any(str(part).startswith("is-instance") for part in each["loc"]):
            continue
        for part in each["loc"]:
            if isinstance(inner, Mapping) and part in inner:
                path, inner = f"{path}.{part}", inner[part]
        found.append(f"{path}: {each['msg']}")
    return "IBM's client does not take " + "; ".join(dict.fromkeys(found))

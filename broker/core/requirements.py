"""What a backend must have to run a job: what the program and the request ask for, both."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from broker.core.moments import moment
from schemas.jobs import Needed, Needs
from schemas.specification import BackendRequirements
from schemas.values import MOST, Violation
from schemas.widths import NO_CIRCUIT, Widest


class Request(Protocol):
    """Of a request, what it says of its backend."""

    @property
    def backend(self) -> str | None: ...
    @property
    def backend_requirements(self) -> dict[str, Needed] | None: ...


class OfInputs(Protocol):
    """What inputs ask for: the name of the first that does, or nothing."""

    @property
    def exact(self) -> str: ...
    @property
    def flow(self) -> str: ...
    @property
    def mitigation(self) -> str: ...


class IfUnavailable(enum.StrEnum):
    """What becomes of a job while nothing begins on its backend."""

    WAIT = "wait"
    MOVE = "move"
    FAIL = "fail"


Asked = Mapping[str, Needed]

MOST_LABELS, LONGEST_LABEL = 16, 64
ESTIMATES = "a device whose vendor estimates by itself"
_LABELS = f"type: string, or array of up to {MOST_LABELS}, maxLength: {LONGEST_LABEL}"


@dataclass(frozen=True, slots=True)
class Backend:
    """What routing has to know of a backend."""

    name: str
    simulator: bool
    num_qubits: int
    ideal: bool  # a simulator without noise, in which every qubit meets every other
    error: float | None = None  # of its gates; None where nobody says
    calibrated: float | None = None  # Unix, s; None where nobody says, or nothing drifts
    labels: frozenset[str] = frozenset()
    is_calibrating: bool = False  # now
    estimates: bool = False  # by itself, with mitigation that nobody else has
    gpu: bool = False  # a simulator on GPUs: it runs nothing that users have uploaded

    def takes_all_of(self, other: "Backend") -> bool:
        """Whether whatever *other* takes may run here, too."""
        if other.estimates and not self.estimates:
            return False
        if self.ideal or other.ideal:
            return self.ideal
        is_alike = self.simulator or not other.simulator
        return is_alike and self.num_qubits >= other.num_qubits


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a backend must have: the program's and the request's, both."""

    min_num_qubits: int = 0
    simulator: bool | None = None
    widest: Widest = NO_CIRCUIT  # how much an ideal simulator holds depends on the circuit
    exact: str = ""  # the input that asks for values without noise
    flow: str = ""  # the circuit with control flow, which goes to no device
    mitigation: str = ""  # the input that asks for what only a vendor that estimates can do
    max_error: float | None = None
    calibrated_within: float | None = None  # s
    calibrated_since: float = 0.0  # Unix, s: the same, as of now
    labels: frozenset[str] = frozenset()
    like: Backend | None = None  # that will do, where nobody knows what the circuits need
    is_uploaded: bool = False  # its program is what a user has uploaded

    def holds(self, backend: Backend) -> bool:
        """Whether *backend* is wide enough for the circuits."""
        return backend.ideal or backend.num_qubits >= self.widest.qubits

    def met_by(self, backend: Backend) -> bool:
        """Whether *backend* will do."""
        if self.is_uploaded and backend.gpu:
            return False
        if not self.holds(backend) or (self.exact and not backend.ideal):
            return False
        if self.flow and not backend.simulator:
            return False
        if self.mitigation and not backend.estimates:
            return False
        if backend.num_qubits < self.min_num_qubits or not self.labels <= backend.labels:
            return False
        if self.simulator is not None and self.simulator != backend.simulator:
            return False
        if self.like is not None and not backend.takes_all_of(self.like):
            return False
        return self._is_good(backend) and self._is_fresh(backend)

    def _is_good(self, backend: Backend) -> bool:
        if self.max_error is None or backend.ideal:
            return True
        return backend.error is not None and backend.error <= self.max_error

    def _is_fresh(self, backend: Backend) -> bool:
        """Simulators do not drift."""
        if self.calibrated_within is None or backend.simulator:
            return True
        return backend.calibrated is not None and backend.calibrated >= self.calibrated_since

    def __str__(self) -> str:
        return ", ".join(self._parts()) or "none"

    def _parts(self) -> list[str]:
        parts = [f"min_num_qubits {self.min_num_qubits}"] if self.min_num_qubits else []
        if self.simulator is not None:
            parts.append("a simulator" if self.simulator else "no simulator")
        if self.widest.qubits:
            parts.append(f"{self.widest.qubits} qubits for {self.widest.where}")
        if self.exact:
            parts.append(f"a simulator without noise, as {self.exact} asks for exact values")
        if self.flow:
            parts.append(f"a simulator, as {self.flow} has control flow")
        if self.mitigation:
            parts.append(f"{ESTIMATES}, as {self.mitigation} is asked for")
        if self.max_error is not None:
            parts.append(f"max_error {self.max_error:g}")
        if self.calibrated_within is not None:
            parts.append(f"calibrated_within {self.calibrated_within:g} s")
        if self.labels:
            parts.append(f"labels {', '.join(sorted(self.labels))}")
        if self.is_uploaded:
            parts.append("programs that users have uploaded")
        return parts


def requirements(
    program: BackendRequirements | None,
    asked: Asked | None,
    widest: Widest = NO_CIRCUIT,
    found: OfInputs = Needs(),  # noqa: B008 -- it is frozen
    time: str = "",
) -> Requirements:
    """Both sides' requirements as one, at *time*, with what was *found* in the inputs; what *asked*
    says wrongly counts as not said.
    """
    base, inputs = program or BackendRequirements(), (found.exact, found.flow, found.mitigation)
    if not asked:
        return Requirements(base.min_num_qubits, base.simulator, widest, *inputs)
    said = {name: value for name, value in asked.items() if _is_right(name, value)}
    qubits, simulator = said.get("min_num_qubits", 0), said.get("simulator", base.simulator)
    within, error = said.get("calibrated_within"), said.get("max_error")
    assert isinstance(qubits, int | float)
    assert simulator is None or isinstance(simulator, bool)
    assert within is None or isinstance(within, int | float)
    assert error is None or isinstance(error, int | float)
    return Requirements(
        max(base.min_num_qubits, int(qubits)),
        simulator,
        widest,
        *inputs,
        error,
        within,
        moment(time, 0.0) - within if within and time else 0.0,
        frozenset(_labels(said.get("labels", ()))),
    )


def if_unavailable(job: Request | None) -> IfUnavailable:
    """As *job* asks for it: those that name a backend wait else, and others move."""
    if job is None:
        return IfUnavailable.WAIT
    said = (job.backend_requirements or {}).get("if_unavailable")
    if said in _POLICIES:
        return IfUnavailable(str(said))
    return IfUnavailable.WAIT if job.backend else IfUnavailable.MOVE


def wrongly_asked(program: BackendRequirements, asked: Asked | None) -> list[Violation]:
    """What is wrong with the requirements of a request."""
    violations = []
    for name, value in (asked or {}).items():
        path, shown = f"/backend_requirements/{name}"[:200], repr(value)[:120]
        if name not in _RULES:
            known = f"known: {', '.join(sorted(_RULES))}"
            violations.append(Violation(path, known, shown, "there is no such requirement"))
        elif (broken := _RULES[name](value)) is not None:
            violations.append(Violation(path, broken, shown))
        elif name == "simulator" and program.simulator not in (None, value):
            wanted = f"const: {str(program.simulator).lower()}"
            violations.append(Violation(path, wanted, shown, "the program demands it"))
    return violations[:20]


# What breaks the rule of each


def _no_count(value: Needed) -> str | None:
    """JSON Schema does not tell 1.0 from 1."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not is_whole or isinstance(value, bool | str | tuple) or value < 0:
        return "type: integer, 0 or more"
    return None if value <= MOST else f"maximum: {MOST}"


def _no_choice(value: Needed) -> str | None:
    return None if isinstance(value, bool) else "type: boolean"


def _no_error(value: Needed) -> str | None:
    is_right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return None if is_right else "type: number, from 0 to 1"


def _no_seconds(value: Needed) -> str | None:
    is_right = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST
    return None if is_right else "type: number of seconds above 0"


def _no_labels(value: Needed) -> str | None:
    if not isinstance(value, str | tuple):
        return _LABELS
    labels = _labels(value)
    are_short = all(0 < len(label) <= LONGEST_LABEL for label in labels)
    return None if len(labels) <= MOST_LABELS and are_short else _LABELS


def _no_policy(value: Needed) -> str | None:
    return None if value in _POLICIES else f"one of: {', '.join(_POLICIES)}"


_POLICIES = tuple(map(str, IfUnavailable))
_RULES: dict[str, Callable[[Needed], str | None]] = {
    "min_num_qubits": _no_count,
    "simulator": _no_choice,
    "max_error": _no_error,
    "calibrated_within": _no_seconds,
    "labels": _no_labels,
    "if_unavailable": _no_policy,
}


def _is_right(name: str, value: Needed) -> bool:
    return name in _RULES and _RULES[name](value) is None


def _labels(value: Needed) -> tuple[str, ...]:
    """One or several."""
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()

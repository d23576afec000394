"""On which backend? One that meets the requirements and would start the job soonest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from schemas.specification import BackendRequirements
from schemas.values import MOST, Violation
from schemas.widths import NO_CIRCUIT, Widest

Asked = Mapping[str, int | float | bool | str]


@dataclass(frozen=True, slots=True)
class Backend:
    """What routing has to know of a backend."""

    name: str
    simulator: bool
    num_qubits: int
    ideal: bool  # a simulator without noise, in which every qubit meets every other


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a backend is: slots of the workers that offer it, free ones, jobs that wait."""

    slots: int
    free: int
    queued: int

    @property
    def wait(self) -> float:
        """How long a job would wait, in attempts; infinite where nobody serves the backend."""
        if not self.slots:
            return float("inf")
        return 0.0 if self.free > self.queued else (self.queued + 1) / self.slots


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a backend must have: the program's and the request's, both."""

    min_num_qubits: int = 0
    simulator: bool | None = None
    widest: Widest = NO_CIRCUIT  # how much an ideal simulator holds depends on the circuit
    exact: str = ""  # the input that asks for values without noise

    def holds(self, backend: Backend) -> bool:
        """Whether *backend* is wide enough for the circuits."""
        return backend.ideal or backend.num_qubits >= self.widest.qubits

    def met_by(self, backend: Backend) -> bool:
        """Whether *backend* will do."""
        if not self.holds(backend) or (self.exact and not backend.ideal):
            return False
        if backend.num_qubits < self.min_num_qubits:
            return False
        return self.simulator is None or self.simulator == backend.simulator

    def __str__(self) -> str:
        parts = [f"min_num_qubits {self.min_num_qubits}"] if self.min_num_qubits else []
        if self.simulator is not None:
            parts.append("a simulator" if self.simulator else "no simulator")
        if self.widest.qubits:
            parts.append(f"{self.widest.qubits} qubits for {self.widest.where}")
        if self.exact:
            parts.append(f"a simulator without noise, as {self.exact} asks for exact values")
        return ", ".join(parts) or "none"


def requirements(
    program: BackendRequirements | None,
    asked: Asked | None,
    widest: Widest = NO_CIRCUIT,
    exact: str = "",
) -> Requirements:
    """Both sides' requirements as one; what *asked* says wrongly counts as not said."""
    asked = asked or {}
    base = program or BackendRequirements()
    qubits, simulator = asked.get("min_num_qubits", 0), asked.get("simulator")
    return Requirements(
        max(base.min_num_qubits, int(qubits) if _is_count(qubits) else 0),
        simulator if isinstance(simulator, bool) else base.simulator,
        widest,
        exact,
    )


def wrongly_asked(program: BackendRequirements, asked: Asked | None) -> list[Violation]:
    """What is wrong with the requirements of a request."""
    violations = []
    for name, value in (asked or {}).items():
        path, shown = f"/backend_requirements/{name}"[:200], repr(value)[:120]
        if name == "min_num_qubits":
            if not _is_count(value):
                violations.append(Violation(path, "type: integer, 0 or more", shown))
            elif int(value) > MOST:
                violations.append(Violation(path, f"maximum: {MOST}", shown))
        elif name == "simulator":
            if not isinstance(value, bool):
                violations.append(Violation(path, "type: boolean", shown))
            elif program.simulator not in (None, value):
                wanted = f"const: {str(program.simulator).lower()}"
                violations.append(Violation(path, wanted, shown, "the program demands it"))
        else:
            known = "known: min_num_qubits, simulator"
            violations.append(Violation(path, known, shown, "there is no such requirement"))
    return violations[:20]


def _is_count(value: int | float | bool | str) -> bool:
    """JSON Schema does not tell 1.0 from 1."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and not isinstance(value, (bool, str)) and value >= 0


def route(
    backends: Iterable[Backend], needs: Requirements, load: Callable[[str], Load]
) -> str | None:
    """The best backend that meets *needs*, or None.

    One that somebody serves, simulators before devices, ideal ones before noisy ones (nobody should
    get noise without asking), and then the one that would start the job soonest.
    """
    suitable = sorted(filter(needs.met_by, backends), key=_by_kind)
    for _, alike in groupby(suitable, key=_kind):
        loads = [(load(backend.name), backend.name) for backend in alike]
        if served := [(busy.wait, name) for busy, name in loads if busy.slots]:
            return min(served)[1]
    return suitable[0].name if suitable else None


def _kind(backend: Backend) -> tuple[bool, bool]:
    return not backend.simulator, not backend.ideal


def _by_kind(backend: Backend) -> tuple[tuple[bool, bool], str]:
    return _kind(backend), backend.name

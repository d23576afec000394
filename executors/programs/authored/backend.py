"""The given backend as programs of 2021 know one: beside what it is today, not instead of it."""

import copy
import sys
from collections.abc import Set
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import msgspec
from qiskit_aer.backends.backendconfiguration import AerBackendConfiguration
from qiskit_aer.backends.backendproperties import AerBackendProperties

from executors.backends import catalogue
from executors.backends.aer import LocalSimulator
from executors.programs.authored.runtime import ProgramBackend

# Run options of 2021 about the device or the service, without which the counts are the same.
_WITHOUT_EFFECT = frozenset(
    {
        "dynamic", "experiment_id", "header", "job_name", "job_share_level", "job_tags",
        "live_data_enabled", "max_credits", "parametric_pulses", "priority", "qobj_header",
        "qobj_id", "rep_delay", "rep_time", "timeout", "use_measure_esp", "validate",
    }
)  # fmt: skip
_COUNTS = 2  # the measurement level at which there are counts, and no signals


class Name(str):
    """A backend's name, which was asked for by a call."""

    __slots__ = ()

    def __call__(self) -> str:
        return str(self)


class Backend2021(ProgramBackend):
    """What a backend had in 2021 and has no more."""

    name: str
    _told: set[str]

    @cached_property
    def _announced(self) -> Any:
        return catalogue.announced(str(self.name))

    def configuration(self) -> Any:
        """What the backend can do, the same as the REST API says."""
        told = msgspec.json.decode(self._announced.configuration)
        return AerBackendConfiguration.from_dict(told)

    def properties(self, *_: Any, **__: Any) -> Any:
        """Times and errors of qubits and gates; None on a simulator without noise."""
        told = msgspec.json.decode(self._announced.properties)
        return told and AerBackendProperties.from_dict(told)

    def defaults(self, *_: Any, **__: Any) -> None:
        """Pulses: there are none."""

    def status(self) -> Any:
        """That it works."""
        told = {
            "backend_name": str(self.name),
            "backend_version": self.configuration().backend_version,
            "operational": True,
            "pending_jobs": 0,
            "status_msg": "active",
        }
        return SimpleNamespace(**told, to_dict=lambda: told)

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        """Run *circuits*; what is asked of a device and changes nothing here is left out."""
        level = options.pop("meas_level", _COUNTS)
        if level not in (None, _COUNTS):
            raise ValueError(f"meas_level={level!r}: a simulator measures counts, which is level 2")
        if isinstance(circuits, tuple):
            circuits = list(circuits)
        taken = frozenset(self.options.__dict__) | {"noise_model"}  # type: ignore[attr-defined]
        kept = {name: value for name, value in options.items() if name in taken}
        if options.get("init_qubits", True):
            options.pop("init_qubits", None)
        self._tell_of(options.keys() - kept.keys() - _WITHOUT_EFFECT)
        return super().run(circuits, parameter_binds, **kept)  # type: ignore[misc]

    def _tell_of(self, ignored: Set[str]) -> None:
        """Say once of each option that it is *ignored*."""
        for name in sorted(ignored - self._told):
            sys.stderr.write(f"warning: {self.name} has no run option {name!r}; it is ignored\n")
        self._told.update(ignored)


def of_2021(backend: Any) -> Any:
    """*backend*, which is known today's way, as one that is known in both ways."""
    if not isinstance(backend, LocalSimulator):
        return backend
    made = copy.copy(backend)
    made.__class__ = type("ProgramBackend", (Backend2021, type(backend)), {})
    made.name = Name(made.name)
    made._told = set()
    return made

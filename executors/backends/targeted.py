"""What simulators of devices, and devices, have in common: a target."""

from typing import Any

from qiskit.transpiler import CouplingMap, Target

from executors.backends.aer import LocalSimulator


class Targeted(LocalSimulator):
    """Knows which gates there are, and on which qubits."""

    def __init__(self, name: str, target: Target, gates: list[str], **options: Any) -> None:
        super().__init__(**options)
        self._target = target
        self._set_configuration_option("basis_gates", gates)
        self._set_configuration_option("n_qubits", target.num_qubits)
        self.name = name
        self.most_qubits = int(target.num_qubits)

    @property
    def target(self) -> Target:
        """Which gates there are, on which qubits."""
        return self._target

    @property
    def coupling_map(self) -> CouplingMap:
        """Which qubits two-qubit gates connect."""
        return self._target.build_coupling_map()

    @property
    def num_qubits(self) -> int:
        """How many qubits the device has."""
        return int(self._target.num_qubits)

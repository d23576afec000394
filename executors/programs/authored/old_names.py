"""Where the modules of 2021's Qiskit are now, and what replaced those that are nowhere.

No Qiskit is needed to read this: what a program imports is looked at before it is run.
"""

RUNTIME = "executors.programs.authored.runtime"
ALGORITHMS = "executors.programs.authored.algorithms_2021"
QISKIT = "executors.programs.authored.qiskit_2021"

# A module, and all below it, is found below another one.
MOVED = {
    "qiskit.algorithms.amplitude_estimators": "qiskit_algorithms.amplitude_estimators",
    "qiskit.algorithms.eigensolvers": "qiskit_algorithms.eigensolvers",
    "qiskit.algorithms.exceptions": "qiskit_algorithms.exceptions",
    "qiskit.algorithms.gradients": "qiskit_algorithms.gradients",
    "qiskit.algorithms.minimum_eigensolvers": "qiskit_algorithms.minimum_eigensolvers",
    "qiskit.algorithms.optimizers": "qiskit_algorithms.optimizers",
    "qiskit.algorithms.phase_estimators": "qiskit_algorithms.phase_estimators",
    "qiskit.algorithms.state_fidelities": "qiskit_algorithms.state_fidelities",
    "qiskit.algorithms.time_evolvers": "qiskit_algorithms.time_evolvers",
    "qiskit.algorithms.utils": "qiskit_algorithms.utils",
    "qiskit.providers.aer": "qiskit_aer",
    "qiskit.tools.visualization": "qiskit.visualization",
}

# A module, and all below it, is this one.
STANDS_FOR = {
    "qiskit.algorithms": ALGORITHMS,
    "qiskit.execute_function": QISKIT,
    "qiskit.extensions": "qiskit.circuit.library",
    "qiskit.providers.basicaer": QISKIT,
    "qiskit.providers.ibmq.runtime": RUNTIME,
    "qiskit.tools": QISKIT,
    "qiskit_ibm_runtime.program": RUNTIME,
    "qiskit_ibm_runtime.utils.json": RUNTIME,
}

# Names in modules that still are there.
ADDED = {
    "qiskit": {
        "Aer": "qiskit_aer:Aer",
        "BasicAer": f"{QISKIT}:BasicAer",
        "execute": f"{QISKIT}:execute",
        "transpile": f"{QISKIT}:transpile",
    },
    "qiskit.compiler": {"transpile": f"{QISKIT}:transpile"},
    "qiskit.providers": {
        "BackendV1": f"{RUNTIME}:ProgramBackend",
        "BaseBackend": f"{RUNTIME}:ProgramBackend",
    },
    "qiskit.utils": {"algorithm_globals": f"{ALGORITHMS}:algorithm_globals"},
    "qiskit_ibm_runtime": {
        "ProgramBackend": f"{RUNTIME}:ProgramBackend",
        "ResultDecoder": f"{RUNTIME}:ResultDecoder",
        "RuntimeDecoder": f"{RUNTIME}:RuntimeDecoder",
        "RuntimeEncoder": f"{RUNTIME}:RuntimeEncoder",
        "UserMessenger": f"{RUNTIME}:UserMessenger",
    },
    "qiskit_ibm_runtime.utils": {
        "RuntimeDecoder": f"{RUNTIME}:RuntimeDecoder",
        "RuntimeEncoder": f"{RUNTIME}:RuntimeEncoder",
    },
}

_ALGORITHMS = "qiskit_algorithms, whose algorithms take primitives"
_SERVICE = "nothing, as a program is given its backend and reaches no service"
_PULSES = "nothing, as there are no pulses any more"

# Modules and names that are gone for good, and what came in their place.
REPLACED = {
    "qiskit.IBMQ": _SERVICE,
    "qiskit.aqua": _ALGORITHMS,
    "qiskit.assemble": "nothing, as backend.run takes circuits",
    "qiskit.assembler": "nothing, as backend.run takes circuits",
    "qiskit.chemistry": "qiskit-nature",
    "qiskit.compiler.assemble": "nothing, as backend.run takes circuits",
    "qiskit.finance": "qiskit-finance",
    "qiskit.ignis": "qiskit-experiments, and mthree for the mitigation of measurement errors",
    "qiskit.ml": "qiskit-machine-learning",
    "qiskit.opflow": "qiskit.quantum_info.SparsePauliOp and the primitives in qiskit.primitives",
    "qiskit.optimization": "qiskit-optimization",
    "qiskit.primitives.Estimator": "qiskit.primitives.StatevectorEstimator and BackendEstimatorV2",
    "qiskit.primitives.Sampler": "qiskit.primitives.StatevectorSampler and BackendSamplerV2",
    "qiskit.providers.ibmq": _SERVICE,
    "qiskit.providers.models": "backend.configuration() and backend.target",
    "qiskit.pulse": _PULSES,
    "qiskit.qobj": "nothing, as backend.run takes circuits",
    "qiskit.schedule": _PULSES,
    "qiskit.scheduler": _PULSES,
    "qiskit.test": "the backend that the program is given; GenericBackendV2 in "
    "qiskit.providers.fake_provider makes others",
    "qiskit.utils.QuantumInstance": "the primitives in qiskit.primitives, or backend.run",
    "qiskit.utils.mitigation": "mthree",
    "qiskit_ibm_provider": _SERVICE,
    "qiskit_ibm_runtime.QiskitRuntimeService": _SERVICE,
    "qiskit_ibm_runtime.IBMRuntimeService": _SERVICE,
}

PACKAGES = frozenset({"qiskit_ibm_runtime"})  # that can be imported without being installed
HOMES = frozenset(ADDED) | {name.rpartition(".")[0] for name in REPLACED} - {""}


def place_of(name: str) -> str | None:
    """The module that stands for the module *name* of 2021, if there is one."""
    for at in _upwards(name):
        if at in STANDS_FOR:
            return STANDS_FOR[at]
        if at in MOVED:
            return MOVED[at] + name.removeprefix(at)
    return None


def replacement(name: str) -> str | None:
    """What replaced the module or name *name* of 2021, if it is gone for good."""
    if place_of(name) is not None:
        return None
    return next((REPLACED[at] for at in _upwards(name) if at in REPLACED), None)


def _upwards(name: str) -> list[str]:
    """*name*, what it is in, what that is in …"""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]

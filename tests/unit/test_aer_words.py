"""What Aer says of a run that failed, in our words; from real runs."""

from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData

from executors import memory
from executors.backends import catalogue
from executors.faults import BackendError, InvalidInputsError
from executors.programs import builtin
from executors.programs.aer_words import failure, most_qubits

MIB = 1024 * 1024


def rotated(qubits: int, idle: int = 0) -> QuantumCircuit:
    """Entangled, and not of Clifford gates; *idle* qubits more are not used."""
    circuit = QuantumCircuit(qubits + idle, qubits)
    circuit.rx(0.3, range(qubits))
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def failed(
    circuits: list[QuantumCircuit], name: str = "aer_simulator", **options: Any
) -> Exception:
    result = catalogue.backend(name).run(circuits, shots=2, **options).result()
    assert not result.success
    return failure(result, options)


@pytest.fixture
def allowed() -> Iterator[None]:
    before = memory.allowed()
    memory.allow(320 * MIB)
    yield
    memory._allowed = before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"method": "statevector"},
            "circuits[1] needs 1 GiB of memory with method statevector, 100 MiB are available: 22 qubits is "
            "the most for statevector here; try method=matrix_product_state",
        ),
        ({}, "circuits[1] needs 1 GiB of memory with method statevector"),
        ({"method": "statevector", "precision": "single"}, "23 qubits is the most for statevector"),
        ({"method": "density_matrix"}, "11 qubits is the most for density_matrix here"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(options: dict[str, Any], told: str) -> None:
    if options.get("precision") == "single":
        circuits = [rotated(2), rotated(27)]
    else:
        circuits = [rotated(2), rotated(26)]

    error = failed(circuits, max_memory_mb=100, **options)

    assert isinstance(error, BackendError)
    assert told in str(error)


def test_where_a_statevector_would_fit_it_is_the_advice() -> None:
    error = failed([rotated(13)], method="density_matrix", max_memory_mb=100)

    assert str(error).endswith("try method=statevector")


def test_a_need_beyond_all_numbers_is_told_without_one() -> None:
    error = failed([rotated(45)], method="density_matrix", max_memory_mb=100)

    assert str(error).startswith("circuits[0] needs more memory with method density_matrix")


def test_on_a_gpu_its_own_memory_decides() -> None:
    """As Aer says it there: https://github.com/Qiskit/qiskit-aer/issues/1646."""
    words = (
        "ERROR:  [Experiment 0] Insufficient memory to run circuit circuit-115 using the "
        "statevector simulator. Required memory: 1048576M, max memory: 1M (Host) + 81104M (GPU)"
    )
    data = ExperimentResultData()
    found = ExperimentResult(0, False, data, status=words, metadata={})
    memories = {"max_memory_mb": 1, "max_gpu_memory_mb": 81_104}
    result = Result(success=False, results=[found], metadata=memories)

    assert str(failure(result, {})) == (
        "circuits[0] needs more memory with method statevector, 79.2 GiB are available: 32 qubits is "
        "the most for statevector here; try the backend aer_simulator"
    )


def test_on_a_device_model_it_is_told_alike() -> None:
    error = failed([rotated(45)], "fake_heavy_hex_57", max_memory_mb=100)

    assert "22 qubits is the most for statevector" in str(error)


@pytest.mark.usefixtures("allowed")
def test_a_child_tells_aer_what_it_may_use() -> None:
    with pytest.raises(BackendError, match="256 MiB are available: 24 qubits is the most"):
        call([rotated(26)], method="statevector")


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("circuit", "options"),
    [
        (rotated(3, idle=60), {"method": "statevector"}),
        (rotated(40), {"method": "matrix_product_state"}),
        (rotated(24), {"method": "statevector", "precision": "single"}),
    ],
    ids=["idle qubits", "another method", "single precision"],
)
def test_what_fits_runs_however_wide_it_looks(
    circuit: QuantumCircuit, options: dict[str, Any]
) -> None:
    (counts,) = call([circuit], **options)["raw_counts"]

    assert sum(counts.values()) == 2


def call(circuits: list[QuantumCircuit], **options: Any) -> Any:
    backend = catalogue.backend("aer_simulator")
    inputs = {"circuits": circuits, "run_config": {"shots": 2, **options}}
    return builtin.load("sampler").main(backend, None, **inputs)


@pytest.mark.parametrize(
    ("options", "kind"), [({"method": "stabilizer"}, InvalidInputsError), ({}, BackendError)]
)
def test_an_operation_that_a_method_lacks_is_the_fault_of_who_chose_it(
    options: dict[str, Any], kind: type[Exception]
) -> None:
    result = catalogue.backend("aer_simulator").run([rotated(3)], method="stabilizer").result()

    error = failure(result, options)

    assert type(error) is kind
    assert str(error) == "circuits[0] has rx, which method stabilizer does not simulate"


@pytest.mark.parametrize(
    ("method", "precision", "most"),
    [
        ("statevector", "double", 26),
        ("statevector", "single", 27),
        ("density_matrix", "double", 13),
        ("stabilizer", "double", None),
    ],
)
def test_the_widest_that_fits_follows_from_the_method(
    method: str, precision: str, most: int | None
) -> None:
    assert most_qubits(method, 1024, precision) == most

"""What a program imports is held against what workers have."""

from broker.gateway.imports import missing
from broker.judging.code import read_code
from broker.worker.environment import installed
from schemas.workers import EnvironmentAnnounced, Package

HERE = installed("w1")
BARE = EnvironmentAnnounced("bare", "3.11.7", ())
WITH_PANDAS = EnvironmentAnnounced("other", "3.11.7", (Package("pandas", "3.0", ("pandas",)),))


def lacks(code: str, *environments: EnvironmentAnnounced) -> list[str]:
    text = code + "\ndef main(backend, user_messenger): pass\n"
    return [one.message for one in missing(read_code(text.encode()), environments)]


def test_what_is_installed_here_is_what_can_be_imported() -> None:
    names = {package.name: package for package in HERE.packages}

    assert names["qiskit"].modules == ("qiskit",)
    assert names["PyYAML"].version
    assert "yaml" in names["PyYAML"].modules
    assert len(repr(HERE)) < 20_000


def test_the_standard_library_and_what_is_installed_are_there() -> None:
    assert (
        lacks("import os.path, json, numpy as np\nfrom qiskit_aer import AerSimulator", HERE) == []
    )


def test_all_that_is_missing_is_told_at_once_and_each_once() -> None:
    code = "import torch\nfrom torch.nn import Linear, ReLU\nimport tensorflow.keras as k"

    assert lacks(code, HERE) == [
        "torch (line 1): no worker has it installed",
        "tensorflow (line 3): no worker has it installed",
    ]


def test_paths_of_2021_count_as_there() -> None:
    code = (
        "from qiskit.providers.ibmq.runtime import UserMessenger, ProgramBackend\n"
        "from qiskit_ibm_runtime.program import UserMessenger\n"
        "from qiskit_ibm_runtime import RuntimeEncoder\n"
        "from qiskit.providers.aer import AerSimulator\n"
        "from qiskit import Aer, execute\n"
    )

    assert lacks(code, HERE) == []


def test_what_is_gone_from_qiskit_is_told_with_what_came_in_its_place() -> None:
    told = lacks("from qiskit.opflow import X\nfrom qiskit import IBMQ\nimport qiskit.aqua", HERE)

    assert [one.partition(":")[0] for one in told] == [
        "qiskit.opflow (line 1)",
        "qiskit.IBMQ (line 2)",
        "qiskit.aqua (line 3)",
    ]
    assert "SparsePauliOp" in told[0]


def test_a_program_has_nothing_beside_it() -> None:
    assert lacks("from .helpers import f", HERE) == [
        ".helpers.f (line 1): a program is one file, with nothing beside it"
    ]


def test_one_worker_that_has_all_of_it_is_enough() -> None:
    assert lacks("import pandas, json", BARE, WITH_PANDAS) == []
    assert lacks("import pandas, torch", BARE, WITH_PANDAS) == [
        "torch (line 1): no worker has it installed"
    ]


def test_without_a_worker_nothing_is_known_to_be_missing_but_what_is_gone() -> None:
    assert lacks("import pandas") == []
    assert len(lacks("import qiskit.aqua")) == 1

"""Programs that people wrote for the Runtime of 2021 and after, in a child of ours."""

import importlib.util
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from executors import runtime_json
from executors.programs.authored.importing import OldNames
from executors.programs.authored.runtime import RuntimeEncoder
from executors.simulator import SimulatorExecutor
from schemas.reports import Body
from tests.support.executing import bodies, kind, log_of, started, task, uploaded, value

WRITTEN = Path(__file__).resolve().parents[1] / "authored"
HYDROGEN = [["II", -1.0523], ["IZ", 0.3979], ["ZI", -0.3979], ["ZZ", -0.0113], ["XX", 0.1809]]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    async with started(SimulatorExecutor(1)) as made:
        yield made


class Ran:
    """What came of one run."""

    def __init__(self, found: list[Body]) -> None:
        self.log = log_of(found)
        self.interim = [value(body) for body in found if kind(body) == "published"]
        self.end: Any = found[-1]
        self.message = getattr(self.end, "message", "")

    @property
    def result(self) -> Any:
        assert kind(self.end) == "returned", self.end.message
        return runtime_json.decode(value(self.end))


async def run(
    executor: SimulatorExecutor, source: str, backend: str = "fake_line_5", **inputs: Any
) -> Ran:
    given = task("p", runtime_json.encode(inputs), backend=backend)
    code = uploaded(dedent(source), "mine")
    return Ran(await bodies(executor, replace(given, uploaded=code)))


async def run_file(executor: SimulatorExecutor, name: str, **inputs: Any) -> Ran:
    return await run(executor, (WRITTEN / f"{name}.py").read_text(), **inputs)


# In the style of the tutorials


async def test_the_template_of_2021_publishes_counts_and_its_result(
    executor: SimulatorExecutor,
) -> None:
    ran = await run_file(executor, "hello_random", iterations=3)

    assert ran.result == "Hello, World!"
    assert [one["iteration"] for one in ran.interim] == [0, 1, 2]
    assert all(sum(one["counts"].values()) == 100 for one in ran.interim)


async def test_expectation_values_by_execute_are_right(executor: SimulatorExecutor) -> None:
    bell = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0],q[1];'
    one = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; x q[0];'

    ran = await run_file(executor, "expval", circuits=[bell, one], seed=2, backend="aer_simulator")

    assert ran.result == [1.0, -1.0]


async def test_a_vqe_by_hand_comes_near_the_energy_of_hydrogen(executor: SimulatorExecutor) -> None:
    ran = await run_file(executor, "vqe_spsa", hamiltonian=HYDROGEN, backend="aer_simulator")

    assert ran.result["optimal_value"] == pytest.approx(-1.857, abs=0.1)
    assert [one[0] for one in ran.interim] == list(range(1, 31))
    assert "'noise_adaptive' is gone from Qiskit; 'dense' is used instead" in ran.log


async def test_qaoa_with_inputs_by_place_cuts_a_ring(executor: SimulatorExecutor) -> None:
    ring = [[0, 1], [1, 2], [2, 3], [3, 0]]

    ran = await run_file(executor, "qaoa", edges=ring, nodes=4, maxiter=20, backend="aer_simulator")

    assert ran.result["cut"] > 2.6  # of 4; a random cut has 2, and one layer reaches 3
    assert len(ran.interim) == 20


async def test_quantum_volume_circuits_are_heavy_where_there_is_no_noise(
    executor: SimulatorExecutor,
) -> None:
    ran = await run_file(executor, "quantum_volume", width=4, backend="aer_simulator")
    noisy = await run_file(executor, "quantum_volume", width=4, error=0.5, backend="aer_simulator")

    assert ran.result["passed"]
    assert ran.result["mean"] > 0.75
    assert not noisy.result["passed"]
    assert "on aer_simulator: " in ran.log
    assert "no run option" not in ran.log


async def test_a_kernel_matrix_of_arrays_comes_back_as_an_array(
    executor: SimulatorExecutor,
) -> None:
    data = np.array([[0.1, 0.2], [0.1, 0.2], [1.5, 2.5]])

    ran = await run_file(executor, "kernel_matrix", data=data, seed=5)

    matrix = ran.result["matrix"]
    assert matrix == pytest.approx(matrix.T)
    assert matrix[0, 1] > 0.8 > matrix[0, 2]
    assert ran.result["empty"].num_qubits == 1
    assert ran.interim[0]["circuit"]["__type__"] == "QuantumCircuit"


async def test_classes_travel_by_encoders_of_their_own(executor: SimulatorExecutor) -> None:
    ran = await run_file(
        executor,
        "serializes",
        walk=json.dumps({"steps": [[1, 0], [0, 2]]}),
        start={"__type__": "point", "__value__": [10, 20]},
    )

    assert ran.interim[1] == {
        "at": {"__type__": "point", "__value__": [11, 22]},
        "z": {"__type__": "complex", "__value__": [0.0, 1.0]},
    }
    assert json.loads(ran.result) == {"steps": [[11, 22]]}


# How main takes what it is given


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("backend, user_messenger, **kwargs", {"a": 1, "b": 2}),
        ("backend, user_messenger, a, b", {"a": 1, "b": 2}),
        ("backend, user_messenger, a, /, b", {"a": 1, "b": 2}),
        ("backend, user_messenger, /, a, *, b", {"a": 1, "b": 2}),
        ("service, publisher, a=0, b=0, c=3", {"a": 1, "b": 2, "c": 3}),
        ("backend, user_messenger, a=9, /, **others", {"a": 1, "others": {"b": 2}}),
    ],
)
async def test_main_takes_inputs_in_whichever_way_it_says(
    executor: SimulatorExecutor, parameters: str, told: dict[str, Any]
) -> None:
    source = f"""
    def main({parameters}):
        found = dict(locals())
        found.update(found.pop("kwargs", {{}}))
        return {{name: value for name, value in found.items() if name in {list(told)}}}
    """

    assert (await run(executor, source, a=1, b=2)).result == told


async def test_an_input_that_main_does_not_take_is_ignored_and_told(
    executor: SimulatorExecutor,
) -> None:
    ran = await run(executor, "def main(backend, user_messenger, a): return a", a=1, b=2)

    assert ran.result == 1
    assert ran.log == 'note: main takes no input "b"; it is ignored\n'


async def test_an_input_that_is_missing_is_told_by_name(executor: SimulatorExecutor) -> None:
    ran = await run(executor, "def main(backend, user_messenger, a, b, *, c, d=1): ...", b=1)

    assert (kind(ran.end), ran.end.reason) == ("raised", "invalid_inputs")
    assert ran.message == "the program requires the inputs: a, c"
    assert [one.path for one in ran.end.violations] == ["/params/a", "/params/c"]


# What it raises


async def test_what_a_program_raises_is_told_by_its_own_frames_with_its_lines(
    executor: SimulatorExecutor,
) -> None:
    ran = await run(
        executor,
        """
        class Lost(Exception):
            pass

        def inner(found):
            return found["here"]

        def main(backend, user_messenger):
            try:
                inner({})
            except KeyError as error:
                raise Lost("not there") from error
        """,
    )

    assert (kind(ran.end), ran.end.reason) == ("raised", "program_error")
    assert ran.message == dedent("""\
        program.Lost: not there

        Traceback (most recent call last):
          File "mine.py", line 10, in main
            inner({})
          File "mine.py", line 6, in inner
            return found["here"]
                   ~~~~~^^^^^^^^
        KeyError: 'here'

        The above exception was the direct cause of the following exception:

        Traceback (most recent call last):
          File "mine.py", line 12, in main
            raise Lost("not there") from error
        program.Lost: not there
        """)


@pytest.mark.parametrize(
    ("statement", "line", "last_frame"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3", "main"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "main"),
        ("again = lambda: again(); again()", "RecursionError: maximum recursion", "<lambda>"),
        ("import qiskit.opflow", "ModuleNotFoundError: qiskit.opflow is gone; in its", "main"),
        ("from qiskit import IBMQ", "ModuleNotFoundError: qiskit.IBMQ is gone; in its", "main"),
        ("backend.run([], meas_level=1)", "ValueError: meas_level=1: a simulator", "main"),
        ("raise type('Bad', (Exception,), {'__str__': lambda self: 1 / 0})", "program.Bad: <", "main"),
        ("raise type('No', (Exception,), {'__module__': 3})", "<unknown>.No", ""),
        ("raise ValueError('x' * 9_000_000)", "ValueError: xxxxx", ""),
        ("raise ExceptionGroup('both', [ValueError(1), KeyError(2)])", "ExceptionGroup: both", "main"),
    ],
)  # fmt: skip
async def test_whatever_is_raised_is_told(
    executor: SimulatorExecutor, statement: str, line: str, last_frame: str
) -> None:
    ran = await run(executor, f"def main(backend, user_messenger):\n    {statement}\n")

    assert (kind(ran.end), ran.end.reason) == ("raised", "program_error")
    assert ran.message.startswith(line)
    assert len(ran.message) < 20_000
    assert "/executors/" not in ran.message
    assert f'File "mine.py", line 2, in {last_frame}' in ran.message or not last_frame


@pytest.mark.parametrize(
    ("source", "line", "rest"),
    [
        ("def main(:\n", "SyntaxError: ", '  File "mine.py", line 1'),
        ("x = 1 / 0\n", "ZeroDivisionError: ", 'File "mine.py", line 1, in <module>'),
        ("x = 1\n", "AttributeError: the program has no function main(", ""),
        ("\x00", "SyntaxError: ", ""),
    ],
)
async def test_code_that_can_not_be_loaded_says_why(
    executor: SimulatorExecutor, source: str, line: str, rest: str
) -> None:
    ran = await run(executor, source)

    assert (kind(ran.end), ran.end.reason) == ("raised", "program_error")
    assert ran.message.startswith(line)
    assert rest in ran.message


async def test_a_program_that_raises_leaves_all_that_it_wrote_in_the_log(
    executor: SimulatorExecutor,
) -> None:
    ran = await run(
        executor,
        """
        import logging, os, sys, warnings

        def main(backend, user_messenger):
            print("printed")
            warnings.warn("warned")
            logging.getLogger("mine").warning("logged")
            os.write(2, b"written\\n")
            print("at the end", end="")
            raise ValueError("and out")
        """,
    )

    assert ran.message.startswith("ValueError: and out")
    for text in ("printed\n", "UserWarning: warned\n", "logged\n", "written\n", "at the end"):
        assert text in ran.log
    assert "mine.py:6: UserWarning" in ran.log


# What it finds around it


@pytest.mark.parametrize(
    "statement",
    [
        "assert backend.name() == backend.name == 'fake_line_5'",
        "assert backend.configuration().n_qubits == backend.num_qubits == 5",
        "assert backend.configuration().coupling_map[0] == [0, 1]",
        "assert 0 < backend.properties().gate_error('cx', [0, 1]) < 0.1",
        "assert backend.properties().t1(0) > 1e-6",
        "assert backend.status().operational and backend.defaults() is None",
        "import qiskit.providers.aer as aer; aer.noise.NoiseModel.from_backend(backend)",
        "from qiskit import Aer; Aer.get_backend('qasm_simulator')",
        "from qiskit.algorithms import NumPyMinimumEigensolver as N; N()",
        "from qiskit.algorithms.minimum_eigensolvers import VQE",
        "from qiskit.extensions import Initialize, UnitaryGate",
        "from qiskit.tools import job_monitor; from qiskit.tools.visualization import plot_histogram",
        "from qiskit.providers import BackendV1; assert isinstance(backend, BackendV1)",
        "from qiskit.providers.ibmq.runtime import ProgramBackend as P; assert isinstance(backend, P)",
        "from qiskit_ibm_runtime import UserMessenger as M; assert isinstance(user_messenger, M)",
        "from qiskit_ibm_runtime.utils.json import RuntimeDecoder, RuntimeEncoder",
        "from qiskit_ibm_runtime.program import ResultDecoder, UserMessenger; UserMessenger().publish(1)",
        "from qiskit.primitives import BackendSamplerV2; BackendSamplerV2(backend=backend)",
        "backend.set_options(shots=7); assert backend.options.shots == 7",
    ],
)
async def test_what_was_there_in_2021_is_there(executor: SimulatorExecutor, statement: str) -> None:
    ran = await run(executor, f"def main(backend, user_messenger):\n    {statement}\n")

    assert ran.result is None


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from qiskit.algorithms import VQE", "qiskit_algorithms.VQE, which takes primitives"),
        ("from qiskit.utils import QuantumInstance", "the primitives in qiskit.primitives"),
        ("from qiskit.test.mock import FakeLima", "the backend that the program is given"),
        ("import qiskit.ignis.mitigation.measurement", "mthree"),
        ("from qiskit import assemble", "backend.run takes circuits"),
        ("from qiskit import QuantumCircuit as Q; Q(1, 1).x(0).c_if(0, 1)", "circuit.if_test"),
    ],
)
async def test_what_is_gone_says_what_came_in_its_place(
    executor: SimulatorExecutor, statement: str, instead: str
) -> None:
    ran = await run(executor, f"def main(backend, user_messenger):\n    {statement}\n")

    assert (kind(ran.end), ran.end.reason) == ("raised", "program_error")
    assert instead in ran.message.splitlines()[0]


async def test_what_execute_bound_and_took_is_bound_and_taken(executor: SimulatorExecutor) -> None:
    ran = await run(
        executor,
        """
        from qiskit import QuantumCircuit, execute
        from qiskit.circuit import Parameter

        def main(backend, user_messenger):
            angle = Parameter("a")
            circuit = QuantumCircuit(1, 1)
            circuit.u3(angle, 0, 0, 0)
            circuit.measure(0, 0)
            binds = [{angle: 0}, {angle: 3.14159265}]
            job = execute(circuit, backend, shots=50, parameter_binds=binds, nonsense=1)
            return job.result().get_counts(), circuit.bind_parameters({angle: 1}).qasm()
        """,
        backend="aer_simulator",
    )

    counts, text = ran.result
    assert counts == [{"0": 50}, {"1": 50}]
    assert text.startswith("OPENQASM 2.0;")
    assert ran.log == "warning: aer_simulator has no run option 'nonsense'; it is ignored\n"


async def test_the_later_package_need_not_be_installed() -> None:
    spec = OldNames().find_spec("qiskit_ibm_runtime", [])
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)

    assert module.RuntimeEncoder is RuntimeEncoder
    with pytest.raises(ModuleNotFoundError, match="a program is given its backend"):
        getattr(module, "QiskitRuntimeService")  # noqa: B009  as an import does
    with pytest.raises(AttributeError, match="SamplerV9"):
        module.SamplerV9  # noqa: B018

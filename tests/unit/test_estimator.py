"""`estimator` against expectation values that NumPy computes, as clients of both generations ask."""

import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.quantum_info import Operator, SparsePauliOp
from qiskit_ibm_runtime.json import RuntimeDecoder

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import BackendError, InvalidInputsError
from executors.programs import builtin

IDEAL, NOISY = "aer_simulator", "fake_line_5"
CIRCUIT = real_amplitudes(2, reps=1)
POINTS = np.array([[0.1, 0.2, 0.3, 0.4], [1.0, -0.5, 2.0, 0.3], [3.0, 1.0, -1.0, 0.0]])
OPERATORS = [{"ZZ": 1.0, "XI": -0.5}, {"YY": 0.7, "IX": 0.2, "II": 3.0}]


def estimate(backend: str = IDEAL, **inputs: Any) -> Any:
    """What a stock client makes of the answer."""
    program = builtin.load("estimator")
    text = runtime_json.encode(program.main(catalogue.backend(backend), None, **inputs))
    assert program.program.check_result(text) == []
    return json.loads(text, cls=RuntimeDecoder)


def right(operator: dict[str, float], point: Any) -> float:
    vector = Operator(CIRCUIT.assign_parameters(point)).data[:, 0]
    matrix = SparsePauliOp.from_list(list(operator.items())).to_matrix()
    return float((vector.conj() @ matrix @ vector).real)


def test_exact_values_come_in_the_shape_of_observables_and_values() -> None:
    pub = [CIRCUIT, [[operator] for operator in OPERATORS], POINTS, 0]

    found = estimate(pubs=[pub], version=2, support_qiskit=True, options={})

    assert isinstance(found, PrimitiveResult)
    assert isinstance(found[0], PubResult)
    assert found[0].data.evs.shape == (2, 3)
    for number, operator in enumerate(OPERATORS):
        for place, point in enumerate(POINTS):
            assert found[0].data.evs[number, place] == pytest.approx(right(operator, point))
    assert not found[0].data.stds.any()


def test_a_single_observable_and_point_give_a_number() -> None:
    found = estimate(pubs=[[CIRCUIT, OPERATORS[0], POINTS[0], 0]])

    assert found[0].data.evs.shape == ()
    assert float(found[0].data.evs) == pytest.approx(right(OPERATORS[0], POINTS[0]))


def test_values_are_within_the_precision_asked_for() -> None:
    pub = [CIRCUIT, OPERATORS[0], POINTS, 0.01]

    (found,) = estimate(pubs=[pub], options={"seed_estimator": 3})

    wanted = [right(OPERATORS[0], point) for point in POINTS]
    assert np.abs(found.data.evs - wanted).max() < 5 * 1.5 * 0.01  # the weights are 1.5 together
    assert (np.abs(found.data.evs - wanted) < 5 * found.data.stds).all()
    assert (found.metadata["shots"], found.metadata["target_precision"]) == (10_000, 0.01)


@pytest.mark.parametrize(
    ("options", "shots"),
    [
        ({}, 4096),
        ({"default_shots": 100}, 100),
        ({"default_precision": 0.1}, 100),
        ({"default_precision": 0.1, "default_shots": 7}, 100),
    ],
)
def test_without_a_precision_the_options_say_how_often(options: Any, shots: int) -> None:
    (found,) = estimate(pubs=[[CIRCUIT, "ZZ", POINTS[0], None]], options=options)

    assert found.metadata["shots"] == shots


@pytest.mark.parametrize("backend", [IDEAL, NOISY])
def test_a_seed_makes_the_values_repeatable(backend: str) -> None:
    pubs = [[CIRCUIT, OPERATORS, POINTS[0], 0.1]]

    found = [
        estimate(backend, pubs=pubs, options={"seed_estimator": seed})[0].data.evs.tolist()
        for seed in (1, 1, 2)
    ]

    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "asked",
    [
        {"resilience_level": 1, "options": {"seed_estimator": 5}},
        {"options": {"resilience_level": 1, "seed_estimator": 5}},
        {"options": {"resilience": {"measure_mitigation": True}, "seed_estimator": 5}},
    ],
)
def test_readout_errors_are_corrected_if_asked(asked: Any) -> None:
    pub = [QuantumCircuit(5), "ZZZZZ", None, 0.005]

    (plain,) = estimate(NOISY, pubs=[pub], options={"seed_estimator": 5})
    (found,) = estimate(NOISY, pubs=[pub], **asked)

    assert abs(found.data.evs - 1) < abs(plain.data.evs - 1) / 2


def test_twirled_gates_give_the_same_values_on_what_is_without_coherent_errors() -> None:
    pub = [CIRCUIT, OPERATORS[0], POINTS[1], 0.01]
    twirling = {"enable_gates": True, "num_randomizations": 20}

    (plain,) = estimate(NOISY, pubs=[pub], options={"seed_estimator": 1})
    (found,) = estimate(NOISY, pubs=[pub], options={"seed_estimator": 1, "twirling": twirling})

    assert found.data.evs != plain.data.evs
    assert abs(found.data.evs - plain.data.evs) < 5 * 1.5 * 0.01 * math.sqrt(2)


def test_the_qubits_of_a_compiled_circuit_stay_where_they_are() -> None:
    circuit = QuantumCircuit(5)
    circuit.x(3)

    (found,) = estimate(NOISY, pubs=[[circuit, [["ZIIII", "IZIII"]], None, 0.02]])

    assert found.data.evs[0, 0] > 0.8
    assert found.data.evs[0, 1] < -0.8


@pytest.mark.parametrize("precision", [2, 3e4, 1e5, 1e154, 1e155, 1e300])
@pytest.mark.parametrize("backend", [IDEAL, NOISY])
def test_a_precision_that_is_no_demand_takes_one_shot(backend: str, precision: float) -> None:
    plus = QuantumCircuit(1)
    plus.h(0)

    for options in ({}, {"default_precision": precision}):
        asked = [plus, "Z", None, None if options else precision]
        (found,) = estimate(backend, pubs=[asked], options=options)

        assert abs(found.data.evs) == 1
        assert found.metadata["shots"] == 1


def test_a_circuit_without_parameters_takes_no_values_in_any_form() -> None:
    for values in (None, [], {}):
        (found,) = estimate(pubs=[[QuantumCircuit(1), "Z", values, 0]])

        assert found.data.evs == pytest.approx(1)


def test_the_first_generation_reads_its_own_form() -> None:
    found = estimate(
        circuits=[CIRCUIT] * 3,
        observables=[SparsePauliOp.from_list(list(OPERATORS[0].items()))] * 3,
        parameters=[[]] * 3,
        parameter_values=POINTS.tolist(),
        transpilation_settings={"optimization_settings": {"level": 3}, "coupling_map": None},
        resilience_settings={"level": 0},
        run_options={"shots": 20_000, "seed_simulator": 5, "init_qubits": True},
    )

    for value, metadata, point in zip(found["values"], found["metadata"], POINTS, strict=True):
        error = math.sqrt(metadata["variance"] / metadata["shots"])
        assert abs(value - right(OPERATORS[0], point)) < 5 * error
        assert metadata["shots"] == 20_000


def test_the_first_generation_may_ask_for_as_it_is_and_for_corrections() -> None:
    inputs: dict[str, Any] = {"circuits": [QuantumCircuit(5)], "observables": ["ZZZZZ"]}
    settings = {"skip_transpilation": True}

    values = [
        estimate(
            NOISY,
            **inputs,
            transpilation_settings=settings,
            resilience_settings={"level": level},
            run_options={"shots": 40_000, "seed_simulator": 4},
        )["values"][0]
        for level in (0, 1)
    ]

    assert abs(values[1] - 1) < abs(values[0] - 1) / 2


def one(**options: Any) -> dict[str, Any]:
    return {"pubs": [[CIRCUIT, "ZZ", POINTS[0], 0.1]], "options": options}


def pub(*parts: Any) -> dict[str, Any]:
    return {"pubs": [list(parts)]}


def v1(**more: Any) -> dict[str, Any]:
    return {"circuits": [CIRCUIT], "observables": ["ZZ"], "parameter_values": [[0] * 4], **more}


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "of no generation, or of two: give pubs"),
    (one() | v1(), "of no generation, or of two"),
    ({"pubs": []}, "pubs must be a list of 1 to 1,000"),
    ({"pubs": [[CIRCUIT]]}, r"pubs\[0\] must be \[circuit, observables"),
    (pub(CIRCUIT, "ZZZ", POINTS[0]), r"pubs\[0\]\[1\]\[0\] has a label of 3 letters"),
    (pub(CIRCUIT, {}, POINTS[0]), r"pubs\[0\]\[1\] has no terms"),
    (pub(CIRCUIT, [], POINTS[0]), r"pubs\[0\]\[1\] has an empty list"),
    (pub(CIRCUIT, [["ZZ"], ["ZZ", "XX"]], POINTS[0]), r"\[1\]\[1\] has not as many entries"),
    (pub(CIRCUIT, ["ZZ", ["ZZ"]], POINTS[0]), r"\[1\]\[1\] has more levels"),
    (pub(CIRCUIT, "0Z", POINTS[0]), "only I, X, Y, Z are taken"),
    (pub(CIRCUIT, "ZZ", [1.0]), r"pubs\[0\]\[2\] has the shape \(1,\), and the circuit 4 param"),
    (pub(CIRCUIT, "ZZ"), r"pubs\[0\]\[2\] has the shape \(0,\), and the circuit 4"),
    (pub(CIRCUIT, "ZZ", [math.nan] * 4), r"pubs\[0\]\[2\] has a value that is no finite number"),
    (pub(CIRCUIT, "ZZ", [["a"] * 4]), r"pubs\[0\]\[2\] must be numbers"),
    (pub(CIRCUIT, "ZZ", [[1], [1, 2]]), r"pubs\[0\]\[2\] must be numbers"),
    (pub(CIRCUIT, "ZZ", {"a": 1}), r"pubs\[0\]\[2\] must name each of the circuit's parameters"),
    (pub(CIRCUIT, ["ZZ", "XX"], POINTS), r"shape \(2,\) and values of shape \(3,\)"),
    (pub(CIRCUIT, "ZZ", POINTS[0], -1), r"pubs\[0\]\[3\] is -1: at least 0.001"),
    (pub(CIRCUIT, "ZZ", POINTS[0], 1e-9), r"pubs\[0\]\[3\] is 1e-09: at least 0.001"),
    (pub(CIRCUIT, "ZZ", POINTS[0], math.nan), r"pubs\[0\]\[3\] must be a number"),
    (
        pub(CIRCUIT, [["ZZ"]] * 1000, np.zeros((1000, 4))),
        "asks for 1,000,000 expectation values, at most 100,000",
    ),
    (pub(QuantumCircuit(2, 1).measure(0, 0), "ZZ"), "pubs"),
    (one(resilience_level=2), "resilience_level 2 can not be honoured"),
    (one(resilience={"zne_mitigation": True}), "options.resilience.zne_mitigation can not be hon"),
    (one(resilience={"pec_mitigation": True}), "options.resilience.pec_mitigation can not be hon"),
    (one(dynamical_decoupling={"enable": True}), "options.dynamical_decoupling.enable can not"),
    (one(twirling={"enable_measure": True}), "options.twirling.enable_measure can not be"),
    (one(simulator={"noise_model": {"errors": [1]}}), "options.simulator.noise_model can not be"),
    (one(experimental={"fast": True}), "options.experimental.fast can not be honoured"),
    (one(resiliense={}), r"no option resiliense \(did you mean resilience\?\)"),
    (one(resilience=True), "options.resilience must be an object"),
    (one(seed_estimator="x"), "options.seed_estimator must be a whole number"),
    (one(twirling={"enable_gates": True, "num_randomizations": 10**9}), "num_randomizations is"),
    (v1(observables=["ZZ"] * 2), "1 circuits, 2 observables and 1 parameter_values"),
    (v1(parameter_values=[[0]]), r"parameter_values\[0\] has 1 numbers, and 4 are wanted"),
    (v1(resilience_settings={"level": 2}), "resilience_settings.level 2 can not be honoured"),
    (v1(run_options={"noise_model": {"a": 1}}), "run_options.noise_model can not be chosen"),
    (v1(run_options={"shot": 10}), r"no run option shot \(did you mean shots\?\)"),
    (v1(transpilation_settings={"nonsense": 1}), "transpile has no option nonsense"),
    (v1(circuits=[]), "circuits must be a list"),
]


@pytest.mark.parametrize(("inputs", "told"), BAD, ids=[told for _, told in BAD])
def test_what_can_not_be_is_refused_by_name(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        estimate(**inputs)


LEFT_TO_VENDORS = builtin.load(
    "estimator"
).program.specification.spec.backend_requirements.mitigation


@pytest.mark.parametrize("path", LEFT_TO_VENDORS)
def test_what_is_left_to_vendors_is_refused_on_a_simulator(path: str) -> None:
    value: Any = 2 if path.endswith("level") else {"fast": True} if "experi" in path else True
    for name in reversed(path.split(".")):
        value = {name: value}

    with pytest.raises(
        InvalidInputsError, match=f"{path.rpartition('.')[2]}.* can not be honoured"
    ):
        estimate(**pub(CIRCUIT, "ZZ", POINTS[0]), **value)


def test_an_exact_value_is_not_to_be_had_where_there_is_noise() -> None:
    with pytest.raises(InvalidInputsError, match=r"pubs\[0\]\[3\]: fake_line_5 has noise"):
        estimate(NOISY, pubs=[[CIRCUIT, "ZZ", POINTS[0], 0]])


def test_wide_circuits_take_a_method_that_holds_them() -> None:
    wide = QuantumCircuit(60)
    for qubit in range(59):
        wide.rx(0.4, qubit)
        wide.cx(qubit, qubit + 1)
    inputs: dict[str, Any] = {
        "pubs": [[wide, "I" * 59 + "Z", None, precision] for precision in (0, 0.05)]
    }

    with pytest.raises(BackendError, match="try method=matrix_product_state"):
        estimate(**inputs)
    exact, sampled = estimate(**inputs, method="matrix_product_state")

    assert float(exact.data.evs) == pytest.approx(math.cos(0.4))
    assert float(sampled.data.evs) == pytest.approx(math.cos(0.4), abs=0.25)


def test_an_angle_that_becomes_infinite_is_no_value() -> None:
    text = """OPENQASM 3.0; include "stdgates.inc"; input float a; qubit q; rx(100 * a) q;"""

    for precision in (0, 0.1):
        with pytest.raises(
            InvalidInputsError, match=r"the circuit can not take its values: .*infinite"
        ):
            estimate(pubs=[[text, "Z", [1e308], precision]])


def test_options_that_ask_for_nothing_are_taken() -> None:
    options = {
        "dynamical_decoupling": {"enable": False, "sequence_type": "XX"},
        "resilience": {"zne_mitigation": False, "zne": {"noise_factors": [1, 3]}},
        "execution": {"init_qubits": True, "rep_delay": 0.1},
        "environment": {"log_level": "WARNING", "job_tags": ["a"]},
        "simulator": {"noise_model": None},
        "experimental": {},
    }

    (found,) = estimate(pubs=[[CIRCUIT, "ZZ", POINTS[0], 0]], options=options)

    assert float(found.data.evs) == pytest.approx(right({"ZZ": 1}, POINTS[0]))

"""`sampler` as clients of both primitives ask it: the answer is what a stock client decodes."""

import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter, Qubit
from qiskit.primitives import PrimitiveResult, SamplerPubResult, StatevectorSampler
from qiskit_ibm_runtime.json import RuntimeDecoder

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin
from tests.support.circuits import BELL_2

IDEAL, NOISY = "aer_simulator", "fake_line_5"


def sample(backend: str = IDEAL, **inputs: Any) -> Any:
    """What a stock client makes of the answer."""
    program = builtin.load("sampler")
    text = runtime_json.encode(program.main(catalogue.backend(backend), None, **inputs))
    assert program.program.check_result(text) == []
    return json.loads(text, cls=RuntimeDecoder)


def turned() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    return circuit


def ones(number: int, registers: list[int]) -> QuantumCircuit:
    """A circuit whose outcome is *number*, cut into registers of those sizes."""
    classical = [ClassicalRegister(size, f"c{place}") for place, size in enumerate(registers)]
    circuit = QuantumCircuit(QuantumRegister(sum(registers)), *classical)
    for qubit in range(sum(registers)):
        if number >> qubit & 1:
            circuit.x(qubit)
        circuit.measure(qubit, qubit)
    return circuit


def test_registers_hold_the_outcomes_of_each_shot() -> None:
    number, registers = 0b1_0110_1100_1010_1, [1, 9, 4]

    found = sample(pubs=[[ones(number, registers), None, 5]], version=2, support_qiskit=True)

    assert isinstance(found, PrimitiveResult)
    assert isinstance(found[0], SamplerPubResult)
    for size, name in zip(registers, ("c0", "c1", "c2"), strict=True):
        array = found[0].data[name]
        assert (array.num_bits, array.num_shots) == (size, 5)
        assert array.get_int_counts() == {number & ((1 << size) - 1): 5}
        number >>= size


def test_a_bit_of_no_register_stands_by_itself_in_the_second_generation() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; x q; c = measure q;'

    alone, both = sample(pubs=[[text, None, 10], [beside("a"), None, 10]])

    assert {name: alone.data[name].get_counts() for name in alone.data} == {"bit0": {"1": 10}}
    counts = {name: both.data[name].get_counts() for name in both.data}
    assert counts == {"a": {"0": 10}, "bit1": {"1": 10}}


def test_a_circuit_without_parameters_takes_no_values_in_any_form() -> None:
    for values in (None, [], {}):
        (found,) = sample(pubs=[[BELL_2, values, 3]])

        assert found.data.c.num_shots == 3


def test_values_and_outcomes_have_one_shape() -> None:
    values = np.array([[[0.0], [math.pi]], [[math.pi], [math.pi]]])

    found = sample(pubs=[[turned(), values, 20]])

    array = found[0].data.c
    assert array.shape == (2, 2)
    assert [array.get_counts(place) for place in np.ndindex(2, 2)] == [
        {"0": 20},
        {"1": 20},
        {"1": 20},
        {"1": 20},
    ]


def test_outcomes_are_distributed_as_those_of_the_reference_sampler() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(1.1, 2)
    circuit.measure_all()

    found = sample(pubs=[[circuit, None, 20_000]])[0].data.meas.get_counts()
    other = StatevectorSampler(seed=1).run([(circuit, None, 20_000)]).result()[0]

    for bits, number in other.data.meas.get_counts().items():
        assert abs(found[bits] - number) < 5 * math.sqrt(2 * 20_000 * 0.25)


@pytest.mark.parametrize(
    ("options", "shots"), [({}, 4096), ({"default_shots": 7}, 7), ({"default_shots": 7.0}, 7)]
)
def test_without_shots_the_options_say_how_often(options: Any, shots: int) -> None:
    found = sample(pubs=[[BELL_2]], options=options)

    assert found[0].data.c.num_shots == shots


def test_a_seed_makes_the_outcomes_repeatable() -> None:
    found = [
        sample(pubs=[[BELL_2, None, 50]], options={"simulator": {"seed_simulator": seed}})
        for seed in (1, 1, 2)
    ]

    texts = [one[0].data.c.get_bitstrings() for one in found]
    assert texts[0] == texts[1] != texts[2]


def test_the_qubits_of_a_compiled_circuit_stay_where_they_are() -> None:
    circuit = QuantumCircuit(5, 5)
    circuit.x(3)
    circuit.measure(range(5), range(5))

    counts = sample(NOISY, pubs=[[circuit, None, 500]])[0].data.c.get_counts()

    assert counts["01000"] > 400


def test_what_is_measured_may_decide_what_is_done() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)

    assert sample(pubs=[[circuit, None, 9]])[0].data.c.get_counts() == {"11": 9}


def test_the_first_generation_reads_distributions() -> None:
    found = sample(
        circuits=[BELL_2, turned()],
        parameters=[[], []],
        parameter_values=[[], [math.pi]],
        transpilation_settings={"optimization_settings": {"level": 1}},
        resilience_settings={"level": 0},
        run_options={"shots": 1000, "seed_simulator": 3},
    )

    assert found["metadata"] == [{"shots": 1000}, {"shots": 1000}]
    assert set(found["quasi_dists"][0]) == {"00", "11"}
    assert sum(found["quasi_dists"][0].values()) == pytest.approx(1)
    assert found["quasi_dists"][1] == {"1": 1.0}


def test_the_first_generation_may_ask_for_corrections() -> None:
    inputs: dict[str, Any] = {"circuits": [ones(0b11111, [5])], "run_options": {"shots": 20_000}}

    plain, corrected = (
        sample(NOISY, **inputs, resilience_settings={"level": level})["quasi_dists"][0]["11111"]
        for level in (0, 1)
    )

    assert abs(corrected - 1) < abs(plain - 1)


def test_the_program_of_2021_answers_as_it_did() -> None:
    plain = sample(NOISY, circuits=BELL_2)
    mitigated = sample(
        NOISY, circuits=BELL_2, use_measurement_mitigation=True, return_mitigation_overhead=True
    )

    assert set(plain) == {"raw_counts"}
    assert set(mitigated) == {"raw_counts", "quasiprobabilities", "mitigation_overhead"}
    assert sum(mitigated["quasiprobabilities"][0].values()) == pytest.approx(1)
    assert mitigated["mitigation_overhead"][0] > 1


def test_a_method_of_simulation_is_heeded_in_every_form() -> None:
    circuit = turned().assign_parameters([1.0])
    forms: list[dict[str, Any]] = [
        {"pubs": [[circuit]]},
        {"circuits": [circuit]},
        {"circuits": [circuit], "run_options": {"shots": 5}},
    ]

    for inputs in forms:
        with pytest.raises(InvalidInputsError, match="which method stabilizer does not simulate"):
            sample(**inputs, method="stabilizer")


def named(name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, name))
    circuit.measure(0, 0)
    return circuit


def beside(name: str) -> QuantumCircuit:
    """A register of that name, and after it a bit of no register; the bit alone is 1."""
    circuit = QuantumCircuit(
        [Qubit(), Qubit()], ClassicalRegister(bits=[first := Clbit()], name=name), [Clbit()]
    )
    circuit.x(1)
    circuit.measure([0, 1], [first, 1])
    return circuit


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "give circuits, or pubs"),
    ({"circuits": BELL_2, "pubs": [[BELL_2]]}, "give circuits, or pubs"),
    ({"pubs": []}, "pubs must be a list of 1 to 1,000"),
    ({"pubs": [[BELL_2, None, 5, 6]]}, r"pubs\[0\] must be \[circuit, values, shots\]"),
    ({"pubs": [[BELL_2, None, 0]]}, r"pubs\[0\]\[2\] is 0: 1 to 1,000,000 is taken"),
    ({"pubs": [[BELL_2, None, 1.5]]}, r"pubs\[0\]\[2\] must be a whole number"),
    ({"pubs": [[BELL_2, [1.0]]]}, r"pubs\[0\]\[1\] has the shape \(1,\), and the circuit 0"),
    (
        {"pubs": [[turned()]]},
        r"pubs\[0\]\[1\] has the shape \(0,\), and the circuit 1 parameters: a",
    ),
    ({"pubs": [[turned(), [math.inf]]]}, r"pubs\[0\]\[1\] has a value that is no finite number"),
    ({"pubs": [[QuantumCircuit(1)]]}, r"pubs\[0\]\[0\] measures nothing"),
    ({"pubs": [[5]]}, r"pubs\[0\]\[0\] is neither a circuit"),
    ({"pubs": [[turned(), np.zeros((10_001, 1)), 1]]}, "pubs ask for 10,001 runs"),
    ({"pubs": [[turned(), np.zeros((200, 1)), 10**6]]}, "pubs ask for 200,000,000 bytes"),
    ({"pubs": [[named("shape")]]}, "a classical register has a name that is taken"),
    ({"pubs": [[named("keys")]]}, "a classical register has a name that is taken"),
    ({"pubs": [[named("self")]]}, r"a classical register has a name that is taken.*\['self'\]$"),
    ({"pubs": [[beside("bit1")]]}, "a classical register has a name that is taken: bit1"),
    (
        {"pubs": [[BELL_2]], "options": {"dynamical_decoupling": {"enable": True}}},
        "options.dynamical_decoupling.enable can not be honoured",
    ),
    (
        {"pubs": [[BELL_2]], "options": {"twirling": {"enable_gates": True}}},
        "options.twirling.enable_gates can not be honoured",
    ),
    (
        {"pubs": [[BELL_2]], "options": {"execution": {"meas_type": "kerneled"}}},
        "options.execution.meas_type can not be honoured",
    ),
    (
        {"circuits": [BELL_2], "resilience_settings": {"level": 2}},
        "resilience_settings.level 2 can not be honoured",
    ),
    ({"circuits": [BELL_2], "run_options": {"noise_model": {"a": 1}}}, "noise_model can not be"),
]


@pytest.mark.parametrize(("inputs", "told"), BAD, ids=[told for _, told in BAD])
def test_what_can_not_be_is_refused_by_name(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        sample(**inputs)


def test_a_circuit_too_wide_for_the_device_is_named() -> None:
    with pytest.raises(InvalidInputsError, match=r"pubs\[0\]\[0\] has 9 qubits, fake_line_5 has 5"):
        sample(NOISY, pubs=[[ones(1, [9])]])


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"pubs": []}, "/params/pubs"),
        ({"pubs": [5]}, "/params/pubs/0"),
        ({"pubs": [[BELL_2, None, 0]]}, "/params/pubs/0/2"),
        ({"circuits": [BELL_2], "run_options": {"shots": 0}}, "/params/run_options/shots"),
        ({"options": {}}, "/params"),
    ],
)
def test_bad_inputs_are_named_when_they_are_submitted(inputs: Any, path: str) -> None:
    found = builtin.load("sampler").program.check_parameters(json.dumps(inputs).encode())

    assert [one.path for one in found] == [path]

"""Whatever is done to circuits and options, a job ends in a result or in a sentence."""

import base64
import json
import random
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from executors.simulator import SimulatorExecutor
from schemas.specification import Program
from tests.support.broker import built_in
from tests.support.circuits import BELL_2, BELL_3, bell_encoded
from tests.support.executing import bodies, kind, log_of, started, task

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
BACKENDS = ("aer_simulator", "fake_line_5", "fake_heavy_hex_19", "fake_heavy_hex_57")
SENTENCES = {"invalid_inputs", "backend_error", "out_of_memory"}

GATES_2 = """OPENQASM 2.0; include "qelib1.inc";
gate mine(a,b) p,q { rx(a/2) p; cx p,q; u3(a,b,pi) q; }
opaque dark p; qreg q[3]; creg c[3]; creg d[1];
mine(0.1,-0.2) q[0],q[1]; barrier q; if (d==1) x q[2]; reset q[0]; ccx q[0],q[1],q[2];
measure q -> c; measure q[0] -> d[0];
"""
GATES_3 = """OPENQASM 3.0; include "stdgates.inc";
gate mine(a) p, q { rz(a) p; ctrl @ x p, q; inv @ s q; pow(2) @ t p; }
qubit[3] q; bit[3] c; bit d;
h q[0]; mine(0.3) q[0], q[1]; d = measure q[0];
if (d == true) { x q[1]; } else { z q[2]; }
for uint i in [0:2] { h q[2]; }
while (d == true) { h q[0]; d = measure q[0]; }
c = measure q;
"""
TEXTS = (BELL_2, BELL_3, GATES_2, GATES_3)
NUMBERS = ("0", "-1", "1", "2", "3", "7", "30", "1e400", "1e-400", "4000000000", "9" * 20, "1/0")
WORDS = (
    *NUMBERS,
    *("nan", "inf", "pi**2", "π", "q", "q[0]", "$0", "c", "c[0]", "d", "mine", "dark", "x", "cx"),
    *("measure", "gate", "opaque", "qreg", "creg", "qubit", "bit", "if", "for", "while", "reset"),
    *("{", "}", "[", "]", "(", ")", ";", ",", "->", "@", "ctrl(30) @", "inv @", "pow(0.5) @"),
    *('"', "'", "/*", "//", "\\", "\x00", "\ufeff", "\ud800", "\U0001f300", "\n", "\t"),
)
STATEMENTS = (
    *("opaque foo a;", "qreg w[3];", "qreg w[90000000];", "creg v[90];", "barrier q;", "reset q;"),
    *("cx q[0], q[0];", "u3(0, 0, 1e400) q[0];", "if (c == 1) x q[0];", "measure q -> d;"),
    *("gate x a { }", "gate rec a { rec a; }", "gate big a { x a; x a; }", "big q[0];", "id q[0];"),
    *("x $0;", "cx $0, $4;", "ctrl(30) @ x q;", "ctrl @ x q[0], q[1];", "pow(0.5) @ h q[0];"),
    *("switch (1) { case 1 { } }", "box { x q[0]; }", "delay[1ns] q[0];", "def f() { }", "end;"),
    *(
        "const int n = 100000000;",
        "qubit[n] w;",
        "input float a;",
        "rx(a) q[0];",
        "let a = q[0:1];",
    ),
    *(
        "for uint i in [0:1000000000] { x q[0]; }",
        "array[int, 9] z;",
        "int i = 1;",
        "while (d) { }",
    ),
    *('include "/etc/passwd";', "pragma a;", "bit[90000000] w;", "uint[8] i = 3; rx(i) q[0];"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 7.0, 1.5, 2**31, 2**63, 10**30, 1e300, "", "a", "statevector", "foo"),
    *([], [0], [0, 0], [0, 1], [1, 0], [0, 99], [[0, 1]], ["cx", "foo"], {}, {"0": 1, "1": 0}),
    *({"a": "b"}, ["x", "sx", "rz", "cx"], "matrix_product_state", "density_matrix", "none"),
    *({"__type__": "complex", "__value__": [1, 2]}, {"__type__": "set", "__value__": [1]}),
)


def spoilt_text(chance: random.Random) -> str:
    """A text in which a word is another, or a statement was put between two."""
    text = chance.choice(TEXTS)
    for _ in range(chance.choice((1, 1, 2))):
        match chance.randrange(4):
            case 0:
                place = chance.choice(list(re.finditer(r"\w+|[^\w\s]", text)))
                put = chance.choice(WORDS)
            case 1:
                place = chance.choice(list(re.finditer(r"[0-9.]+", text)))
                put = chance.choice(NUMBERS)
            case 2:
                place = chance.choice(list(re.finditer(r"(?<=[;{}])", text)))
                put = chance.choice((*STATEMENTS, chance.choice(WORDS)))
            case _:
                place = chance.choice(list(re.finditer(r"[^;{}]*;", text)))
                put = chance.choice(("", place[0] * 2))
        text = text[: place.start()] + put + text[place.end() :]
    return text


def spoilt_qpy(chance: random.Random) -> dict[str, str]:
    circuit = chance.choice(QPY)
    data = bytearray(zlib.decompress(base64.b64decode(circuit)))
    for _ in range(chance.choice((1, 1, 1, 3))):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
            case 1:
                data[at : at + 8] = chance.choice((b"\xff" * 8, b"\0" * 8))[: len(data) - at]
            case 2:
                del data[at : at + chance.randint(1, 9)]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
    packed = bytearray(zlib.compress(bytes(data)))
    if chance.random() < 0.1:
        packed[chance.randrange(len(packed))] ^= 0xFF
    text = base64.b64encode(packed).decode()
    return {"__type__": "QuantumCircuit", "__value__": text}


QPY: list[str] = []


def circuits_in_qpy() -> list[str]:
    from qiskit import QuantumCircuit, qasm2, qasm3
    from qiskit.circuit import Parameter

    from tests.support.circuits import encoded

    asked = QuantumCircuit(2, 1, metadata={"a": 1})
    asked.rx(Parameter("a") * 2, 0)
    asked.measure(0, 0)
    made = [qasm2.loads(GATES_2.replace("opaque dark p;", "")), qasm3.loads(GATES_3), asked]
    return [bell_encoded()["__value__"], *(encoded(one)["__value__"] for one in made)]


def options(program: Program, name: str | None, chance: random.Random) -> dict[str, Any]:
    schema: Any = program.specification.spec.parameters
    known = schema["properties"][name]["properties"] if name else schema["properties"]
    names = [one for one in known if one != "circuits"]
    chosen = chance.sample(names, chance.randint(1, 2))
    return {one: option(known[one], chance) for one in chosen}


def option(schema: dict[str, Any], chance: random.Random) -> Any:
    """Mostly one that *schema* lets pass."""
    if chance.random() < 0.3:
        return chance.choice(VALUES)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    few = min(schema.get("maximum", 100), 100)
    match schema.get("type", ["null"])[0]:
        case "boolean":
            return chance.choice((True, False))
        case "integer":
            return chance.choice((least, least + 1, float(few), few))
        case "number":
            return chance.choice((least, few, 1e-3))
        case "array":
            return chance.choice([value for value in VALUES if isinstance(value, list)])
        case _:
            return chance.choice(VALUES)


def of_text(chance: random.Random) -> tuple[str, dict[str, Any]]:
    return "sampler", {"circuits": [BELL_2, spoilt_text(chance)]}


def of_qpy(chance: random.Random) -> tuple[str, dict[str, Any]]:
    return chance.choice(("sampler", "circuit-runner")), {"circuits": spoilt_qpy(chance)}


def of_options(chance: random.Random) -> tuple[str, dict[str, Any]]:
    program = chance.choice(("sampler", "circuit-runner"))
    inputs: dict[str, Any] = {"circuits": chance.choice((BELL_2, BELL_3))}
    if program == "circuit-runner":
        return program, inputs | options(built_in(program), None, chance)
    for name in ("transpiler_config", "run_config"):
        if chance.random() < 0.7:
            inputs[name] = options(built_in(program), name, chance)
    return program, inputs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    QPY.extend(circuits_in_qpy())
    made = SimulatorExecutor(1, memory=600 * MIB)
    async with started(made):
        yield made


@pytest.mark.parametrize("make", [of_text, of_qpy, of_options], ids=["text", "QPY", "options"])
@pytest.mark.parametrize("seed", range(4))
async def test_a_job_ends_in_a_result_or_in_one_sentence_and_no_child_dies(
    executor: SimulatorExecutor,
    make: Callable[[random.Random], tuple[str, dict[str, Any]]],
    seed: int,
) -> None:
    chance = random.Random(f"{make.__name__} {seed}")
    for _ in range(EACH):
        program, inputs = make(chance)
        data = json.dumps(inputs).encode()
        backend = chance.choice(BACKENDS)
        if violations := built_in(program).check_parameters(data):
            assert all(violation.message for violation in violations), inputs
            continue
        found = await bodies(executor, task(program, data, backend=backend, limit=3))
        end: Any = found[-1]
        told = (backend, program, inputs, end)
        assert "panicked" not in log_of(found), told
        assert "Traceback" not in log_of(found), told
        assert kind(end) in ("returned", "raised", "stopped"), told
        if kind(end) == "raised":
            assert end.reason in SENTENCES, told
            assert "\n" not in end.message, told
            assert 10 < len(end.message) < 1000, told


EACH = 25  # jobs

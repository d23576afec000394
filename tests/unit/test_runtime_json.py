"""The Runtime encoding: round trips, the stock client's own encoder, and hostile values."""

import base64
import io
import json
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate
from qiskit.quantum_info import SparsePauliOp
from scipy import sparse

from executors import runtime_json
from executors.faults import InvalidInputsError
from executors.runtime_json import NotEncodableError


def round_trip(value: Any) -> Any:
    return runtime_json.decode(json.loads(runtime_json.encode(value)))


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize(
    "value",
    [
        {"plain": [1, 2.5, "x", None, True]},
        1 + 2j,
        datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        {1, 2, 3},
        bell(),
        CXGate(),
        Parameter("θ"),
        SparsePauliOp(["XX", "ZI"], [0.5, 1j]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_encoded_comes_back(value: Any) -> None:
    assert round_trip(value) == value


def test_arrays_and_sparse_matrices_come_back() -> None:
    assert np.array_equal(round_trip(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3))
    assert (round_trip(sparse.csr_matrix(np.eye(3))) != sparse.csr_matrix(np.eye(3))).nnz == 0


def test_numpy_scalars_are_plain_numbers() -> None:
    value = {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True)}

    assert json.loads(runtime_json.encode(value)) == {"a": 3, "b": 0.5, "c": True}


def test_what_json_has_no_number_for_is_null() -> None:
    assert runtime_json.encode([float("nan"), float("inf")]) == b"[null,null]"


def test_what_has_no_form_is_an_error() -> None:
    with pytest.raises(NotEncodableError, match="bytes"):
        runtime_json.encode({"value": b"bytes"})


@pytest.mark.parametrize(
    "value",
    [{(1, 2): 3}, {"a": [1, {"b": {(1, 2): 3}}]}, {"a": {"x": 1}, "b": {(1, 2)}, (1, 2): 3}],
)
def test_a_key_that_json_does_not_have_is_named_with_its_type(value: Any) -> None:
    with pytest.raises(NotEncodableError) as raised:
        runtime_json.encode(value)

    assert str(raised.value) == "the key (1, 2) of a dict is a tuple, and JSON has text there"


@pytest.mark.parametrize("value", [complex("nan"), complex(1, float("inf")), np.complex64("nanj")])
def test_a_complex_number_that_no_client_decodes_is_an_error(value: Any) -> None:
    with pytest.raises(NotEncodableError, match="a complex number that is not finite"):
        runtime_json.encode({"value": value})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("value", [bell(), 1 + 2j, {1, 2}, SparsePauliOp(["XY"], [0.5])])
def test_the_stock_client_and_this_understand_each_other(value: Any) -> None:
    client = pytest.importorskip("qiskit_ibm_runtime")

    theirs = json.dumps(value, cls=client.RuntimeEncoder)
    ours = runtime_json.encode(value).decode()

    assert runtime_json.decode(json.loads(theirs)) == value
    assert json.loads(ours, cls=client.RuntimeDecoder) == value


def typed(name: str, value: Any, **more: str) -> dict[str, Any]:
    return {"__type__": name, "__value__": value, **more}


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def pickled_array() -> str:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return packed(buffer.getvalue())


@pytest.mark.parametrize(
    "value",
    [
        typed("QuantumCircuit", "not base64!"),
        typed("QuantumCircuit", 7),
        typed("QuantumCircuit", packed(b"QISKIT" + b"\xff" * 50)),
        typed("QuantumCircuit", packed(b"")),
        typed("ndarray", packed(b"\x93NUMPY\x01\x00garbage")),
        typed("ndarray", pickled_array()),
        typed("complex", ["a", "b"]),
        typed("datetime", "yesterday"),
        typed("set", [[1], [2]]),
        typed("spmatrix", base64.b64encode(b"no zip file").decode()),
        typed("Result", {"no": "result"}),
        typed("settings", {}, __module__="os", __class__="system"),
        typed("settings", {}, __module__="qiskit.quantum_info", __class__="Nothing"),
        typed("settings", {"wrong": 1}, __module__="qiskit.quantum_info", __class__="Pauli"),
        {"__type__": "complex"},
    ],
    ids=lambda value: f"{value['__type__']}-{str(value.get('__value__'))[:20]}",
)
def test_a_bad_value_is_named_by_its_field(value: Any) -> None:
    inputs = json.dumps({"things": [1, {"inner": value}]}).encode()

    with pytest.raises(InvalidInputsError, match=r"things\[1\]\.inner"):
        runtime_json.decode_inputs(inputs)


def qpy_file(*circuits: QuantumCircuit) -> bytes:
    file = io.BytesIO()
    qpy.dump(circuits, file)
    return file.getvalue()


def test_a_file_of_several_circuits_becomes_a_list() -> None:
    inputs = json.dumps({"c": typed("QuantumCircuit", packed(qpy_file(bell(), bell())))}).encode()

    assert [circuit.count_ops()["h"] for circuit in runtime_json.decode_inputs(inputs)["c"]] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (qpy_file(bell())[:200], "c is not a valid QuantumCircuit: binary parsing error"),
    ],
    ids=["cut short"],
)
def test_a_file_that_is_not_one_circuit_is_refused_in_one_sentence(data: bytes, says: str) -> None:
    inputs = json.dumps({"c": typed("QuantumCircuit", packed(data))}).encode()

    with pytest.raises(InvalidInputsError) as caught:
        runtime_json.decode_inputs(inputs)

    assert str(caught.value) == says


def array_of(size: int) -> dict[str, Any]:
    file = io.BytesIO()
    np.save(file, np.zeros(size, np.uint8))
    return typed("ndarray", packed(file.getvalue()))


def test_a_bomb_is_refused_before_it_has_unpacked() -> None:
    with pytest.raises(InvalidInputsError, match=r"data: .* unpacks to more than 1000 bytes"):
        runtime_json.decode(typed("ndarray", packed(b"\0" * 100_000)), "data", 1000)


def test_what_a_jobs_inputs_unpack_to_counts_together() -> None:
    few, many = ({f"a{number}": array_of(1500) for number in range(size)} for size in (6, 7))

    assert len(runtime_json.decode_inputs(json.dumps(few).encode(), 10_000)) == 6
    with pytest.raises(InvalidInputsError, match=r"a6: with what comes before it"):
        runtime_json.decode_inputs(json.dumps(many).encode(), 10_000)


def npy_that_claims(shape: str, data: bytes = b"") -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def npz(**files: bytes) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.npy", data)
    return base64.b64encode(buffer.getvalue()).decode()


def settings(kind: str, **value: Any) -> dict[str, Any]:
    return typed("settings", value, __module__="qiskit.quantum_info", __class__=kind)


def qpy_that_claims(at: int, form: str, number: int) -> str:
    """A QPY file of one circuit with another number in its headers."""
    data = bytearray(qpy_file(bell()))
    struct.pack_into(form, data, at, number)
    return packed(bytes(data))


CIRCUIT = 0x1C  # where it begins, in a file of today's version


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            typed("ndarray", packed(npy_that_claims("(1000000000000,)"))),
            "announces 8,000,000,000,000 bytes of numbers and holds 0",
        ),
        (typed("spmatrix", npz(data=npy_that_claims("(99999999,)"))), "bytes of numbers"),
        (typed("spmatrix", npz(data=b"\0" * 600_000_000)), "unpacks to more than"),
        (settings("Operator", data=settings("Pauli", data="X" * 31)), "unpacks to more than"),
        (typed("ndarray", ["x" * 1_000_000, *["y"] * 1000]), "unpacks to more than"),
        (typed("QuantumCircuit", qpy_that_claims(10, "!Q", 2**60)), "circuits in"),
        (typed("QuantumCircuit", qpy_that_claims(CIRCUIT + 5, "!I", 4_000_000_000)), "qubits"),
        (typed("QuantumCircuit", qpy_that_claims(CIRCUIT + 9, "!I", 4_000_000_000)), "bits"),
        (typed("QuantumCircuit", qpy_that_claims(CIRCUIT + 25, "!Q", 2**50)), "instructions"),
    ],
    ids=["ndarray", "in a ZIP", "ZIP", "Operator", "texts", "circuits", "qubits", "bits", "instrs"],
)
def test_what_claims_more_than_is_taken_is_refused_before_it_is_built(
    value: Any, told: str
) -> None:
    with pytest.raises(InvalidInputsError, match=told) as caught:
        runtime_json.decode({"inner": value}, "ignored")

    assert str(caught.value).startswith("ignored.inner")


def test_an_operator_of_a_few_qubits_is_built() -> None:
    found = runtime_json.decode(settings("Operator", data=settings("Pauli", data="XX")), "o")

    assert found.dim == (4, 4)


@pytest.mark.parametrize("text", [b"[1]", b'"x"', b"null", b"{", b"\xff", b"[" * 5000])
def test_inputs_that_are_no_object_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputsError):
        runtime_json.decode_inputs(text)


def test_an_unknown_type_stays_as_it_came() -> None:
    assert runtime_json.decode(typed("Mystery", 1)) == typed("Mystery", 1)


def test_what_is_encoded_is_found_however_its_name_is_written() -> None:
    plain = b'{"a":[[1.5,2]]}'
    escaped = b'{"a":[{"\\u005f_t\\u0079pe__":"complex","__value__":[1.5,2]}]}'

    assert runtime_json.decode_inputs(plain) == {"a": [[1.5, 2]]}
    assert runtime_json.decode_inputs(escaped) == {"a": [1.5 + 2j]}


def test_sums_of_paulis_of_2021_are_read_as_what_there_is_today() -> None:
    operator = SparsePauliOp.from_list([("XX", 0.5), ("ZI", -1)])
    primitive = json.loads(runtime_json.encode(operator))
    sectors = typed(
        "settings", {}, __module__="qiskit.opflow.primitive_ops", __class__="Z2Symmetries"
    )
    for kind in ("PauliSumOp", "TaperedPauliSumOp"):
        value = {"primitive": primitive, "coeff": 2.0, "z2_symmetries": sectors}
        sent = typed("settings", value, __module__="qiskit.opflow.primitive_ops", __class__=kind)

        assert runtime_json.decode(sent) == operator * 2


def test_a_sum_of_paulis_of_something_else_is_refused() -> None:
    for primitive, factor in (
        ("XX", 1),
        (json.loads(runtime_json.encode(SparsePauliOp("X"))), "2"),
    ):
        value = {"primitive": primitive, "coeff": factor}
        sent = typed("settings", value, __module__="qiskit.opflow", __class__="PauliSumOp")

        with pytest.raises(InvalidInputsError, match="operator"):
            runtime_json.decode(sent, "operator")

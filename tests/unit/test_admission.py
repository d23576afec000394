"""May it run?"""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from broker.core.admission import SIMULATOR_LIMIT, Admitted, Refused, admit
from broker.core.catalogue import Catalogue
from broker.core.lanes import UNPLACED
from broker.core.requirements import Backend
from broker.core.routing import Load
from broker.core.site import Site
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program, Specification
from schemas.values import BlobRef, Violation
from schemas.versions import ProgramHead, ProgramVersion
from schemas.widths import Widest
from tests.support.broker import built_in, hello_world

LONG = Program(Specification("long", "long", max_execution_time=1e6))
BUILT_IN = [built_in(name) for name in ("sampler", "circuit-runner")]
CATALOGUE = Catalogue([hello_world(), LONG, *BUILT_IN])
AER = Backend("aer", simulator=True, num_qubits=30, ideal=True)
SMALL = Backend("small", simulator=True, num_qubits=2, ideal=True)
DEVICE = Backend("device", simulator=False, num_qubits=127, ideal=False)


def site(*backends: Backend, complete: bool = True) -> Site:
    return Site({b.name: b for b in backends}, lambda _: Load(1, 1, 0), complete)


def verdict(where: Site | None = None, **request: Any) -> Admitted | Refused:
    body = SubmitJob(**({"program_id": "hello-world"} | request))
    return admit(body, CATALOGUE, where or site(AER, SMALL, DEVICE))


def refusal(where: Site | None = None, **request: Any) -> Refused:
    found = verdict(where, **request)
    assert isinstance(found, Refused)
    return found


def admitted(where: Site | None = None, **request: Any) -> Admitted:
    found = verdict(where, **request)
    assert isinstance(found, Admitted)
    return found


def test_what_is_accepted_is_kept_with_the_version_of_its_program() -> None:
    params = msgspec.Raw(b'{"iterations":1}')
    found = admitted(params=params, tags=("a", "b"), session_id="s", priority=3)

    assert found.backend == "aer"
    assert found.details.program_version == hello_world().version
    assert bytes(found.details.params) == bytes(params)
    assert (found.details.tags, found.details.session_id) == (("a", "b"), "s")
    assert found.details.backend is None
    assert found.details.priority == 3


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        ({}, 300.0),
        ({"max_execution_time": 10.0}, 10.0),
        ({"cost": 20.0}, 20.0),
        ({"cost": 20.0, "max_execution_time": 30.0}, 30.0),
        ({"max_execution_time": 1000.0}, 300.0),
        ({"program_id": "long"}, SIMULATOR_LIMIT),
        ({"program_id": "long", "backend": "device"}, 1e6),
        ({"program_id": "long", "backend": "device", "cost": 7.0}, 7.0),
    ],
)
def test_the_time_limit_is_the_smallest_that_applies(
    request_: dict[str, Any], limit: float
) -> None:
    assert admitted(**request_).details.time_limit == limit


@pytest.mark.parametrize(
    ("request_", "reason", "path"),
    [
        ({"program_id": "nothing"}, "unknown_program", "/program_id"),
        ({"params": msgspec.Raw(b"[]")}, "invalid_inputs", "/params"),
        ({"params": msgspec.Raw(b'{"iterations":"x"}')}, "invalid_inputs", "/params/iterations"),
        ({"backend": "nowhere"}, "unknown_backend", "/backend"),
        ({"backend": "small"}, "backend_unsuitable", "/backend"),
        (
            {"backend_requirements": {"min_num_qubits": 999}},
            "backend_unsuitable",
            "/backend_requirements",
        ),
        (
            {"backend_requirements": {"colour": 1}},
            "invalid_request",
            "/backend_requirements/colour",
        ),
        ({"tags": ("x" * 257,)}, "invalid_request", "/tags/0"),
        (
            {"params": msgspec.Raw(b'{"a":1}'), "params_ref": BlobRef("0" * 64, 9)},
            "invalid_request",
            "/params_ref",
        ),
    ],
)
def test_a_refusal_names_the_rule_and_where_it_was_broken(
    request_: dict[str, Any], reason: str, path: str
) -> None:
    found = refusal(**request_)

    assert found.reason == reason
    assert found.violations[0].path == path
    assert found.message


def test_a_size_that_no_reader_can_count_to_is_refused() -> None:
    found = refusal(params_ref=BlobRef("a" * 64, 10**320))
    assert found.reason == "invalid_request"
    assert found.violations[0].path == "/params_ref/size"


@pytest.mark.parametrize("name", ["min_num_qubits", "colour"])
def test_a_requirement_that_no_reader_can_count_to_is_refused(name: str) -> None:
    found = refusal(backend_requirements={name: 10**320})
    assert found.reason == "invalid_request"
    assert found.violations[0].path == f"/backend_requirements/{name}"


def test_a_refusal_lists_every_rule_that_was_broken() -> None:
    found = refusal(
        params=msgspec.Raw(b'{"iterations":-1}'), backend="nowhere", tags=("x" * 300, "y" * 300)
    )

    assert [v.path for v in found.violations] == [
        "/tags/0",
        "/tags/1",
        "/params/iterations",
        "/backend",
    ]


@pytest.mark.parametrize("depth", [101, 300, 900])
def test_inputs_that_are_nested_too_deeply_are_refused_for_that(depth: int) -> None:
    nested = b'{"iterations": ' + b"[" * depth + b"]" * depth + b"}"

    (violation,) = refusal(params=msgspec.Raw(nested)).violations

    assert (violation.path, violation.rule) == ("/params", "depth: 100")


WIDE = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[45]; creg c[45]; h q; measure q -> c;'
NARROW = WIDE.replace("45", "2")
NOISY = Backend("noisy", simulator=True, num_qubits=5, ideal=False)


def circuits(*texts: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"circuits": list(texts)}))


@pytest.mark.parametrize("program", ["sampler", "circuit-runner"])
def test_a_circuit_too_wide_for_a_device_is_refused_with_the_numbers(program: str) -> None:
    asked = {"program_id": program, "backend": "noisy"}
    one = msgspec.Raw(msgspec.json.encode({"circuits": WIDE}))

    found = refusal(site(AER, NOISY), params=circuits(NARROW, WIDE), **asked)

    assert (found.reason, found.message) == (
        "backend_unsuitable",
        "circuits[1] has 45 qubits, noisy has 5",
    )
    assert found.violations[0].path == "/backend"
    assert (
        "the circuit has 45 qubits, noisy has 5"
        in refusal(site(NOISY), params=one, **asked).message
    )
    assert admitted(site(NOISY), params=circuits(NARROW), **asked).backend == "noisy"


FLOW = "OPENQASM 3.0; qubit[2] q; bit[2] c; c = measure q; if (c[0]) { x q[1]; }"


@pytest.mark.parametrize("program", ["circuit-runner", "sampler"])
def test_control_flow_is_kept_from_a_device_at_once(program: str) -> None:
    plain = "OPENQASM 3.0; qubit[2] q; // if\nbit[2] c; c = measure q;"
    found = refusal(program_id=program, params=circuits(plain, FLOW), backend="device")

    assert found.reason == "backend_unsuitable"
    assert found.message == (
        "circuits[1] has control flow, which does not go to devices as device is one"
    )
    assert admitted(program_id=program, params=circuits(plain), backend="device")
    assert admitted(program_id=program, params=circuits(FLOW)).backend == "aer"
    assert (
        "as circuits[0] has control flow"
        in refusal(
            program_id=program, params=circuits(FLOW), backend_requirements={"simulator": False}
        ).message
    )


def test_an_ideal_simulator_is_given_circuits_of_any_width() -> None:
    assert admitted(site(AER), program_id="sampler", params=circuits(WIDE), backend="aer")
    assert admitted(site(NOISY, AER), program_id="sampler", params=circuits(WIDE)).backend == "aer"


def test_a_wide_circuit_goes_to_a_device_that_holds_it() -> None:
    asked = {"program_id": "sampler", "params": circuits(WIDE)}

    assert admitted(site(NOISY, DEVICE), **asked).backend == "device"
    assert refusal(site(NOISY), **asked).message == (
        "no backend meets the requirements: 45 qubits for circuits[0]"
    )


def test_a_job_goes_where_its_program_ended_sooner_and_is_told_why() -> None:
    twin = Backend("twin", simulator=False, num_qubits=127, ideal=False)
    where = site(DEVICE, twin)
    for _ in range(9):
        where.estimates.ran("hello-world", "device", 60.0)
        where.estimates.ran("hello-world", "twin", 4.0)
        where.estimates.ran("long", "device", 1.0)
    found = admitted(where)

    assert found.backend == "twin"
    assert found.why.endswith("it is to finish it soonest: it waits 0 s and runs 4 s")
    assert admitted(where, program_id="long").backend == "device"


def test_a_gpu_is_not_tried_before_something_is_known_to_take_long_elsewhere() -> None:
    gpu = replace(AER, name="aer_gpu", gpu=True)

    def best(there: Site) -> str:
        return admitted(there).backend

    busy = replace(site(AER, gpu), load=lambda name: Load(1, int(name == "aer_gpu"), 9))
    assert best(busy) == "aer"  # though the GPU is idle
    busy.estimates.ran("hello-world", "aer", 0.001)
    assert best(busy) == "aer"
    busy.estimates.ran("hello-world", "aer", 60.0)
    assert best(busy) == "aer_gpu"
    busy.estimates.ran("hello-world", "aer_gpu", 90.0)
    assert best(busy) == "aer"
    alone = site(gpu)
    assert best(alone) == "aer_gpu"


def test_a_program_that_a_user_has_uploaded_is_refused_where_none_is_run_and_goes_elsewhere() -> (
    None
):
    specification = Specification(id="coin-1", name="coin", max_execution_time=60)
    said = ProgramVersion("default", specification, "2026-11-29T00:00:00.000Z", code="main = 1")
    names = {"id": "coin-1", "tenant": "default", "version": said.version}
    known = Catalogue([hello_world()])
    for each in (said, ProgramHead(**names, created=said.created, updated=said.created)):
        known.take(each)
    gpu = replace(AER, name="aer_gpu", gpu=True)

    def where(there: Site, **request: Any) -> Admitted | Refused:
        return admit(SubmitJob("coin-1", **request), known, there)

    refused = where(site(AER, gpu), backend="aer_gpu")
    assert isinstance(refused, Refused)
    assert refused.reason == "backend_unsuitable"
    assert refused.message == "aer_gpu runs no programs that users have uploaded"
    assert refused.violations[0].path == "/backend"
    nowhere = where(site(gpu))
    assert isinstance(nowhere, Refused)
    assert nowhere.message.endswith("the requirements: programs that users have uploaded")
    paused = replace(site(AER, gpu, DEVICE), away={"aer": "aer is paused"})
    moves = where(paused, backend="aer", backend_requirements={"if_unavailable": "move"})
    assert isinstance(moves, Admitted)
    assert moves.backend == "device"
    ours = admit(SubmitJob("hello-world", backend="aer_gpu"), known, site(AER, gpu))
    assert isinstance(ours, Admitted)


def test_a_wide_circuit_is_kept_from_a_narrow_device_although_a_simulator_is_there() -> None:
    text = "OPENQASM 3.0; qubit[200] q; bit[1] c; c[0] = measure q[0];"
    refused = refusal(
        program_id="sampler", params=circuits(text), backend_requirements={"simulator": False}
    )

    assert refused.reason == "backend_unsuitable"
    assert "200 qubits for" in refused.message


def test_the_width_of_inputs_by_reference_is_told_by_who_read_them() -> None:
    body = SubmitJob("sampler", params_ref=BlobRef("0" * 64, 1_000_000), backend="noisy")

    found = admit(body, CATALOGUE, site(NOISY), Findings(widest=Widest("circuits[7]", 45)))

    assert isinstance(found, Refused)
    assert found.message == "circuits[7] has 45 qubits, noisy has 5"


def test_as_long_as_backends_may_still_come_nobody_is_refused_for_want_of_one() -> None:
    early = site(complete=False)

    assert admitted(early).backend == UNPLACED
    assert admitted(early, backend="nowhere").backend == "nowhere"
    assert admitted(site(SMALL, complete=False)).backend == UNPLACED


def test_inputs_that_were_checked_elsewhere_are_not_checked_again() -> None:
    body = SubmitJob("hello-world", params_ref=BlobRef("0" * 64, 1_000_000))
    wrong = Violation("/params/x", "type: integer", '"x"')

    assert isinstance(admit(body, CATALOGUE, site(AER), Findings()), Admitted)
    assert isinstance(admit(body, CATALOGUE, site(AER)), Admitted)
    found = admit(body, CATALOGUE, site(AER), Findings((wrong,)))
    assert isinstance(found, Refused)
    assert found.violations == (wrong,)


def test_what_a_refusal_quotes_is_short_however_long_the_request_was() -> None:
    found = refusal(
        params=msgspec.Raw(b'{"' + b"k" * 5000 + b'":' + b"[" * 200 + b"]" * 200 + b"}")
    )

    assert len(msgspec.json.encode(found.violations)) < 2000


EXACT = Catalogue([built_in(name) for name in ("vqe", "estimator")])
BUSY = Backend("noisy", simulator=True, num_qubits=27, ideal=False)
BODIES = {
    "vqe": b'{"ansatz": "OPENQASM 3.0;", "operator": "Z", "exact": true}',
    "estimator": b'{"pubs": [["OPENQASM 3.0;", "Z", []], ["OPENQASM 3.0;", "Z", [], 0]]}',
}


@pytest.mark.parametrize("program", BODIES)
def test_exact_values_are_had_from_a_simulator_without_noise_alone(program: str) -> None:
    request = SubmitJob(program, params=msgspec.Raw(BODIES[program]))

    chosen = admit(request, EXACT, site(BUSY, AER))
    none = admit(request, EXACT, site(BUSY))
    named = admit(msgspec.structs.replace(request, backend="noisy"), EXACT, site(BUSY, AER))

    assert isinstance(chosen, Admitted)
    assert chosen.backend == "aer"
    for refused in (none, named):
        assert isinstance(refused, Refused)
        assert refused.reason == "backend_unsuitable"
        assert "a simulator without noise" in refused.message


def test_sampled_values_are_had_from_any() -> None:
    text = BODIES["vqe"].replace(b"true", b"false")
    request = SubmitJob("vqe", params=msgspec.Raw(text), backend="noisy")

    assert isinstance(admit(request, EXACT, site(BUSY, AER)), Admitted)


IBM = Backend("ibm", simulator=False, num_qubits=5, ideal=False, estimates=True)
ESTIMATOR = built_in("estimator")
MITIGATION = ESTIMATOR.specification.spec.backend_requirements.mitigation
STATE = "OPENQASM 3.0; qubit[%d] q;"


def mitigated(path: str, qubits: int = 2, **more: Any) -> SubmitJob:
    """An estimate that asks for what is at *path*."""
    value: Any = 2 if path.endswith("level") else {"fast": True} if "experi" in path else True
    for name in reversed(path.split(".")):
        value = {name: value}
    inputs = {"pubs": [[STATE % qubits, "Z" * qubits, []]], **value}
    return SubmitJob("estimator", params=msgspec.Raw(json.dumps(inputs).encode()), **more)


@pytest.mark.parametrize("path", MITIGATION)
def test_mitigation_is_had_from_a_vendor_that_estimates_alone(path: str) -> None:
    request, everything = mitigated(path), site(AER, BUSY, DEVICE, IBM)

    chosen = admit(request, EXACT, everything)
    named = admit(msgspec.structs.replace(request, backend="ibm"), EXACT, everything)
    none = admit(request, EXACT, site(AER, BUSY, DEVICE))
    others = [
        admit(msgspec.structs.replace(request, backend=name), EXACT, everything)
        for name in ("aer", "noisy", "device")
    ]

    for found in (chosen, named):
        assert isinstance(found, Admitted)
        assert found.backend == "ibm"
        assert found.details.needs is not None
        assert found.details.needs.mitigation == path
    for refused in (none, *others):
        assert isinstance(refused, Refused)
        assert refused.reason == "backend_unsuitable"
        assert path in refused.message
        assert "a device whose vendor estimates by itself" in refused.message


def test_an_estimate_that_only_a_vendor_makes_has_to_fit_its_device() -> None:
    """Where there is an ideal simulator, too, to which other estimates go unseen."""
    found = admit(mitigated(MITIGATION[0], qubits=6), EXACT, site(AER, IBM))

    assert isinstance(found, Refused)
    assert "6 qubits" in found.message


@pytest.mark.parametrize(
    "options",
    [
        {"resilience_level": 1},
        {"resilience": {"zne_mitigation": False, "zne": {"noise_factors": [1, 3]}}},
        {"dynamical_decoupling": {"enable": False}, "experimental": {"fast": False, "more": {}}},
        {"twirling": {"enable_gates": True}},
        {"resilience": None},
    ],
)
def test_an_estimate_that_asks_for_no_more_than_everybody_has_goes_anywhere(options: Any) -> None:
    inputs = {"pubs": [[STATE % 2, "ZZ", []]], "options": options, "resilience_level": 0}
    request = SubmitJob("estimator", params=msgspec.Raw(json.dumps(inputs).encode()))

    found = admit(request, EXACT, site(AER, IBM))

    assert isinstance(found, Admitted)
    assert found.backend == "aer"


X = Backend("fake_x", simulator=True, num_qubits=5, ideal=False)


def test_a_dry_run_is_held_against_what_its_backend_takes() -> None:
    findings = Findings(widest=Widest("circuits[0]", 6))
    body = SubmitJob(program_id="sampler", backend="mock_x")

    assert admitted(site(X), backend="mock_x").backend == "mock_x"
    found = admit(body, CATALOGUE, site(X), findings)
    assert isinstance(found, Refused)
    assert found.reason == "backend_unsuitable"


def test_a_dry_run_of_either_of_two_backends_is_refused_by_their_names() -> None:
    both = site(X, Backend("ibm_x", simulator=True, num_qubits=5, ideal=False))

    found = refusal(both, backend="mock_x")

    assert found.reason == "unknown_backend"
    assert "fake_x and of ibm_x" in found.message


def test_nobody_is_given_a_dry_run_without_asking() -> None:
    assert admitted(site(X)).backend == "fake_x"


QUBITS_3 = msgspec.Raw(b'{"circuits": "OPENQASM 3.0; qubit[3] q; bit[1] c; c[0] = measure q[0];"}')


def test_a_circuit_is_looked_at_where_the_simulator_that_holds_any_begins_none() -> None:
    where = replace(site(AER, X), away={"aer": "aer is paused"})
    wide = msgspec.Raw(b'{"circuits": "OPENQASM 3.0; qubit[9] q; bit[1] c; c[0] = measure q[0];"}')

    assert admitted(where, program_id="sampler", params=QUBITS_3).backend == "fake_x"
    assert admitted(where, program_id="sampler", params=wide).backend == "aer"


def test_inputs_at_which_nobody_looked_move_only_to_what_takes_all_that_their_backend_takes() -> (
    None
):
    narrow = Backend("narrow", simulator=True, num_qubits=3, ideal=False)
    body = SubmitJob(
        "sampler",
        params_ref=BlobRef("0" * 64, 1_000_000),
        backend="fake_x",
        backend_requirements={"if_unavailable": "move"},
    )

    def where(*others: Backend) -> str:
        there = replace(site(X, *others), away={"fake_x": "fake_x is paused"})
        found = admit(body, CATALOGUE, there)
        assert isinstance(found, Admitted)
        return found.backend

    assert where(narrow) == where(narrow, DEVICE) == "fake_x"
    assert where(narrow, NOISY) == "noisy"
    assert where(narrow, NOISY, AER) == "aer"

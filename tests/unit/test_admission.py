"""May it run?"""

from typing import Any

import msgspec
import pytest

from broker.core.admission import SIMULATOR_LIMIT, Admitted, Refused, Site, admit
from broker.core.catalogue import Catalogue
from broker.core.lanes import UNPLACED
from broker.core.routing import Backend, Load
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program, Specification
from schemas.values import BlobRef, Violation
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


def test_an_ideal_simulator_is_given_circuits_of_any_width() -> None:
    assert admitted(site(AER), program_id="sampler", params=circuits(WIDE), backend="aer")
    assert admitted(site(NOISY, AER), program_id="sampler", params=circuits(WIDE)).backend == "aer"


def test_a_wide_circuit_goes_to_a_device_that_holds_it() -> None:
    asked = {"program_id": "sampler", "params": circuits(WIDE)}

    assert admitted(site(NOISY, DEVICE), **asked).backend == "device"
    assert refusal(site(NOISY), **asked).message == (
        "no backend meets the requirements: 45 qubits for circuits[0]"
    )


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

"""Headers that are stored briefly come back as they were."""

from hypothesis import given
from hypothesis import strategies as st

from broker.telemetry.times import now
from broker.transports.brief import brief, in_full, is_brief, version_in
from schemas.jobs import Job
from schemas.ledger import Deletion
from schemas.state_records import VERSION, snapshot_record
from schemas.values import State

KEY = b"default/01m84j3whvtr1xefb7yzj7s5"
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"1.0", b"/qjb", KEY, KEY + b"/4", KEY[8:], b"1"]
)
NAMES = st.sampled_from(["ce_specversion", "ce_id", "qjb-terminal", "content-type"]) | st.text()


@given(st.lists(st.tuples(NAMES, VALUES)), VALUES)
def test_whatever_they_are_they_come_back(headers: list[tuple[str, bytes]], key: bytes) -> None:
    stored = brief(tuple(headers), key)
    assert is_brief(stored)
    assert in_full(stored, key) == tuple(headers)


def test_those_of_a_snapshot_take_half_as_much() -> None:
    job = Job(
        tenant="default",
        job_id=KEY[8:].decode(),
        seq=4,
        state=State.COMPLETED,
        created=now(),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    for state in (job, Deletion("default", job.job_id, now(), 1)):
        record = snapshot_record(state, 1, now())
        stored = brief(record.headers, record.key or b"")
        whole = sum(len(name) + len(value) for name, value in record.headers)
        assert len(stored) < whole / 1.8
        assert in_full(stored, record.key or b"") == record.headers


@given(st.integers(1, 2**52), st.integers(0, 2**40), st.booleans(), st.sampled_from(["j1", "a-4"]))
def test_which_snapshot_it_is_is_found_without_the_other_headers(
    seq: int, epoch: int, terminal: bool, job_id: str
) -> None:
    job = Job(
        tenant="default",
        job_id=job_id,
        seq=seq,
        state=State.COMPLETED if terminal else State.QUEUED,
        created=now(),
    )
    record = snapshot_record(job, epoch, now())
    key = record.key or b""
    found = version_in(brief(record.headers, key), key)
    assert {name: dict(found)[name] for name in VERSION} == dict(record.headers[:3])


@given(st.lists(st.tuples(NAMES, VALUES)), VALUES)
def test_of_other_headers_all_are_found(headers: list[tuple[str, bytes]], key: bytes) -> None:
    assert version_in(brief(tuple(headers), key), key) == tuple(headers)

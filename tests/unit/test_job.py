"""A job's states: the table, and `apply`."""

from typing import Any

import pytest
from msgspec import Raw

from broker.core.job import PARKED, TRANSITIONS, ImpossibleEventError, Standing, apply, next_state
from broker.core.reader_rule import PartitionReader, counts
from schemas.events import (
    EVENT_TYPES,
    Completed,
    Dispatched,
    Failed,
    Interim,
    Queued,
    Rejected,
    Retried,
    Started,
)
from schemas.jobs import Job, JobDetails
from schemas.ledger import Claim, Entry
from schemas.records import Stored
from schemas.state_records import read_state, snapshot_record
from schemas.values import JobKey, State
from tests.support.events import following

KEY = JobKey("default", "j1")
DETAILS = JobDetails(program_id="p", program_version="1", time_limit=5.0)
RAN: list[tuple[Any, dict[str, Any]]] = [
    (Queued, {"job": DETAILS, "backend": "aer"}),
    (Dispatched, {"attempt": 1, "backend": "aer", "worker": "w", "instance": "i"}),
    (Started, {"attempt": 1, "backend": "aer"}),
]


def after(*steps: tuple[Any, dict[str, Any]]) -> Job:
    job: Job | None = None
    for number, (kind, facts) in enumerate(steps):
        event = following(job, "j1", f"t{number}", kind, **facts)
        job = apply(job, Entry(KEY, event, 1, report=2 if kind is Started else 0))
    assert job is not None
    return job


def test_a_job_is_what_its_events_have_made_it() -> None:
    job = after(*RAN)

    assert (job.seq, job.state, job.attempt, job.worker) == (3, State.RUNNING, 1, "w")
    assert (job.created, job.started, job.reports) == ("t0", "t2", 2)
    assert job.details == DETAILS


def test_a_retried_job_waits_again_and_the_next_attempt_counts_its_own_reports() -> None:
    lost = {"attempt": 1, "reason": "worker_lost", "message": "m", "backend": "aer"}
    job = after(*RAN, (Retried, lost))
    assert (job.state, job.worker, job.started) == (State.QUEUED, None, None)

    again = {"attempt": 2, "backend": "aer", "worker": "w2", "instance": "i"}
    event = following(job, "j1", "t", Dispatched, **again)
    job = apply(job, Entry(KEY, event, 1))
    assert (job.attempt, job.worker, job.reports) == (2, "w2", 0)


def test_an_ended_job_keeps_why() -> None:
    failed = after(*RAN, (Failed, {"attempt": 1, "reason": "program_error", "message": "no"}))
    rejected = after((Rejected, {"reason": "invalid_inputs", "message": "no", "program_id": "p"}))

    assert (failed.reason, failed.message, failed.ended) == ("program_error", "no", "t3")
    assert (rejected.state, rejected.terminal, rejected.program_id) == (State.REJECTED, True, "p")
    assert failed.worker is None


def test_a_snapshot_on_the_disk_of_a_user_is_read_and_goes_on_and_is_written_in_the_same_way() -> (
    None
):
    snapshot = (
        b'{"tenant":"default","job_id":"j1","seq":6,"state":"running","terminal":false,'
        b'"created":"t0","program_id":"p","details":{"program_id":"p","program_version":"1",'
        b'"params":{"a":[1.0,2]},"tags":["x"],"time_limit":5.0},"attempt":2,"epoch":1,'
        b'"backend":"aer","worker":"w2","instance":"i2","reports":2,"started":"t5","losses":1,'
        b'"crash":"m","digest":"d"}'
    )
    job = read_state(Stored("qjb.state.v1", 0, 0, 0, KEY.encode(), snapshot))

    assert isinstance(job, Job)
    assert (job.attempt, job.epoch, job.worker, job.instance) == (2, 1, "w2", "i2")
    assert (job.reports, job.started, job.losses, job.crash) == (2, "t5", 1, "m")
    assert snapshot_record(job, 1, "t").value == snapshot

    event = following(job, "j1", "t6", Completed, attempt=2, value=Raw(b"1"))
    ended = apply(job, Entry(KEY, event, 1, report=3))
    assert (ended.state, ended.terminal, ended.worker) == (State.COMPLETED, True, None)


@pytest.mark.parametrize("stands", [None, *State, PARKED])
@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_what_is_not_in_the_table_can_not_happen(stands: Standing, kind: Any) -> None:
    parked = "tag" if stands == PARKED else None
    state = State.RUNNING if stands == PARKED else stands
    job = state and Job(tenant="t", job_id="j", seq=1, state=state, created="t", parked=parked)
    if kind in TRANSITIONS[stands]:
        assert next_state(job or None, kind) is TRANSITIONS[stands][kind]
    else:
        with pytest.raises(ImpossibleEventError):
            next_state(job or None, kind)


def test_nothing_follows_an_end() -> None:
    for state in State:
        assert bool(TRANSITIONS[state]) is not state.is_terminal


# The reader rule


@pytest.mark.parametrize(
    ("epoch", "seq", "claim", "last", "expected"),
    [
        (1, 1, 1, 0, True),
        (2, 4, 2, 3, True),
        (1, 4, 2, 3, False),  # a lost broker's
        (3, 4, 2, 3, True),
        (2, 3, 2, 3, False),  # again
        (2, 5, 2, 3, False),  # not the next
    ],
)
def test_a_record_counts_if_its_broker_held_the_claim_and_it_is_the_next(
    epoch: int, seq: int, claim: int, last: int, expected: bool
) -> None:
    assert counts(epoch, seq, claim, last) is expected


def test_the_first_claim_with_an_epoch_wins_and_a_lower_one_is_none() -> None:
    reader = PartitionReader()

    assert reader.claim(Claim(1, "a"))
    assert not reader.claim(Claim(1, "b"))
    assert reader.claim(Claim(3, "c"))
    assert not reader.claim(Claim(2, "d"))
    assert (reader.newest_claim, reader.holder) == (3, "c")


def test_after_a_claim_the_former_holder_writes_in_vain() -> None:
    reader = PartitionReader()
    reader.claim(Claim(1, "a"))
    queued = following(None, "j1", "t", Queued, job=DETAILS, backend="aer")
    job = apply(None, Entry(KEY, queued, 1))
    reader.claim(Claim(2, "b"))
    interim = following(after(*RAN), "j1", "t", Interim, attempt=1)
    ended = following(after(*RAN), "j1", "t", Completed, attempt=1)

    assert not reader.counts(Entry(KEY, interim, 1), 3)
    assert reader.counts(Entry(KEY, ended, 2), 3)
    assert job.seq == 1

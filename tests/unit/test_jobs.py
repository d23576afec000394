"""Jobs that stay as their snapshots have them until they change."""

from collections.abc import Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from broker.core.jobs import JOB, SNAPSHOT, Jobs
from broker.core.snapshots import Sheet, Snapshots
from schemas.decoding import decode
from schemas.jobs import Job
from schemas.lines import Lines
from schemas.values import JobKey
from tests.support.snapshots import snapshot

KEY = JobKey("default", "j1")
OTHER = JobKey("default", "j2")


Restored = Callable[..., tuple[Jobs, list[tuple[JobKey, str]]]]


@pytest.fixture(params=["singly", "together", "as lines"])
def restored(request: pytest.FixtureRequest) -> Restored:
    """Jobs with those snapshots, and who is lost; *together*: as they were read."""

    def restore(*found: tuple[JobKey, bytes]) -> tuple[Jobs, list[tuple[JobKey, str]]]:
        snapshots = Snapshots()
        keys, values = [key.encode() for key, _ in found], [value for _, value in found]
        if request.param == "singly":
            for key, value in zip(keys, values, strict=True):
                snapshots[key] = value
        else:
            lines = Lines(b"\n".join(values), len(values))
            sheet = Sheet(keys, lines if request.param == "as lines" else values)
            snapshots.add(dict.fromkeys(keys, sheet))
        lost: list[tuple[JobKey, str]] = []
        jobs = Jobs(lambda key, why: lost.append((key, why)))
        jobs.restore(snapshots)
        return jobs, lost

    return restore


def test_a_newer_snapshot_replaces_one_that_stands_with_others() -> None:
    snapshots, value = Snapshots(), snapshot("j1").value
    keys = [KEY.encode(), OTHER.encode()]
    snapshots.add(dict.fromkeys(keys, Sheet(keys, [value, value])))
    snapshots[keys[0]] = b"newer"

    assert dict(snapshots) == {keys[0]: b"newer", keys[1]: value}
    assert snapshots.size == len(value) + 5
    assert [snapshots.pop(key) for key in keys] == [b"newer", value]
    assert (len(snapshots), snapshots.size) == (0, 0)


def test_a_restored_job_is_there_like_any_other(restored: Restored) -> None:
    value = snapshot("j1").value
    jobs, lost = restored((KEY, value))

    assert KEY in jobs
    assert OTHER not in jobs
    assert jobs[KEY] == jobs.get(KEY) == decode(value, Job)
    assert jobs.get(OTHER) is None
    assert list(jobs) == [KEY]
    assert not list(jobs.changed())
    assert not lost


def test_what_jobs_weigh_is_counted_as_they_change_and_go(restored: Restored) -> None:
    value = snapshot("j1").value
    jobs, _ = restored((KEY, value), (OTHER, value))
    assert jobs.weight == 2 * (SNAPSHOT + len(value)) < 2 * JOB

    jobs[KEY] = job = jobs[KEY]
    assert jobs.weight == SNAPSHOT + len(value) + JOB
    jobs[KEY] = job
    assert jobs.weight == SNAPSHOT + len(value) + JOB
    assert list(jobs.changed()) == [job]
    for said, size in ((b'"a result"', 10), (b"12345", 5)):
        jobs[KEY] = job = replace(job, seq=job.seq + 1, value=Raw(said))
        assert jobs.weight == SNAPSHOT + len(value) + JOB + size

    assert jobs.pop(KEY) == job
    assert jobs.pop(OTHER) is not None
    assert jobs.pop(OTHER) is None
    assert (jobs.weight, len(jobs)) == (0, 0)


def test_one_whose_snapshot_is_damaged_is_told_once_and_is_not_there(restored: Restored) -> None:
    good = snapshot("j2").value
    jobs, lost = restored((KEY, good.replace(b'"seq":1', b'"seq":"x"')), (OTHER, good))

    assert jobs.get(KEY) is None
    assert KEY not in jobs
    assert list(jobs.values()) == [jobs[OTHER]]
    assert [key for key, _ in lost] == [KEY]
    assert "$.seq" in lost[0][1]
    assert jobs.weight == SNAPSHOT + len(good)

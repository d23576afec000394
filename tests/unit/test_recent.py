"""The newest events in memory."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from broker.gateway.recent import HotJob, KeptEvent, Recent, Suffix
from schemas.jobs import Job, JobDetails
from schemas.values import JobKey, State


def _hot(name: str) -> HotJob:
    job = Job(tenant="t", job_id=name, seq=1, state=State.QUEUED, created="2026")
    return HotJob(1, JobKey("t", name), job, based=False)


class _Numbered:
    def __init__(self, number: int) -> None:
        self.number = number


@given(st.lists(st.booleans(), max_size=400), st.integers(0, 500))
def test_a_suffix_gives_what_was_not_dropped_from_any_number_on(
    steps: list[bool], start: int
) -> None:
    suffix: Suffix[_Numbered] = Suffix("number")
    kept: list[int] = []
    for number, is_append in enumerate(steps):
        if is_append:
            suffix.append(_Numbered(number))
            kept.append(number)
        elif kept:
            suffix.drop_oldest()
            kept.pop(0)

    assert [item.number for item in suffix.since(start)] == [n for n in kept if n >= start]
    assert suffix.first == (kept[0] if kept else None)
    assert len(suffix) == len(kept)


def test_what_is_not_in_the_file_yet_stays_whatever_its_size() -> None:
    recent = Recent(1000, [0])
    hot = _hot("a")
    recent.jobs[hot.key] = hot
    for offset in range(5):
        recent.add(KeptEvent(hot, 0, offset, offset + 1, "log", b"x" * 1000))
    recent.trim()
    assert recent.floors == [0]
    recent.written([3])

    assert recent.floors == [3]
    assert hot.events.first == 4


def test_a_job_leaves_memory_with_its_last_event() -> None:
    recent = Recent(0, [0])
    hot = _hot("a")
    recent.jobs[hot.key] = hot
    recent.add(KeptEvent(hot, 0, 0, 1, "log", b"x"))
    recent.written([1])

    assert recent.jobs == {}
    assert recent.bytes == 0


def test_jobs_count_with_their_inputs_and_results() -> None:
    recent = Recent(10_000, [0])
    for number in range(3):
        hot = _hot(f"job-{number}")
        hot.job = replace(hot.job, value=Raw(b"1" * 9_000))
        recent.add(KeptEvent(hot, 0, number, 1, "log", b"x"))
        recent.keep(hot)
    assert recent.bytes > 27_000
    recent.written([3])

    assert len(recent.jobs) == 0
    assert recent.bytes == 0


def test_who_keeps_a_job_for_long_can_do_without_its_inputs_and_its_result() -> None:
    hot = _hot("a")
    details = JobDetails(
        program_id="p", program_version="1", time_limit=300.0, params=Raw(bytes(9_000))
    )
    hot.job = replace(hot.job, details=details, value=Raw(bytes(9_000)))
    slim = hot.slim
    Recent(10_000, [0]).add(KeptEvent(hot, 0, 0, 1, "log", b"x"))

    assert slim.size < hot.size - 17_000
    assert slim.job.seq == hot.job.seq
    assert len(slim.events) == 1


def test_a_job_that_grows_or_leaves_is_counted_anew() -> None:
    recent = Recent(10_000, [0])
    hot = _hot("a")
    recent.keep(hot)
    before = recent.bytes
    hot.job = replace(hot.job, value=Raw(b"1" * 9_000))
    recent.keep(hot)
    assert recent.bytes == before + 9_000
    recent.keep(_hot("a"))  # another state of the same job
    assert recent.bytes == before
    recent.let_go(hot.key)
    assert recent.bytes == 0

"""What waits to be written to a gateway's local copy."""

from collections.abc import Iterator

from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.unwritten import Unwritten
from schemas.jobs import Job
from schemas.values import JobKey, State


class Counted(list[KeptEvent]):
    """Events; *looked*: at how many of them somebody looked, one after the other."""

    looked = 0

    def __iter__(self) -> Iterator[KeptEvent]:
        for event in super().__iter__():
            self.looked += 1
            yield event


def _hot(number: int) -> HotJob:
    job = Job(tenant="t", job_id=f"j{number}", seq=2, state=State.COMPLETED, created="2026")
    return HotJob(number, JobKey("t", job.job_id), job, based=False)


def test_what_is_deleted_is_not_written_and_its_events_are_not_looked_for_each_time() -> None:
    hots, events = [_hot(number) for number in range(100)], Counted()
    unwritten = Unwritten(events)
    for hot in hots:
        unwritten.change(hot)
        events += [KeptEvent(hot, 0, 2 * hot.id + seq - 1, seq, "log", b"x") for seq in (1, 2)]
    for hot in hots[1:]:
        unwritten.remove(hot)
    looked = events.looked
    written = unwritten.transaction([], filled=False)

    assert [row.id for row in written.jobs] == [0]
    assert [event.seq for event in written.events] == [1, 2]
    assert {event.job for event in written.events} == {0}
    assert written.gone == list(range(1, 100))
    assert looked == 0

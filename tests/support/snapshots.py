"""Records of the state topic of all kinds, and what is to be read of them in columns."""

from broker.transports.log import Log
from broker.transports.topics import STATE
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Deletion
from schemas.records import Record
from schemas.state_records import VERSION, checkpoint_record, snapshot_record
from schemas.values import State

TIME = "2026-01-01T00:00:00.000Z"


def snapshot(
    job_id: str,
    state: State = State.QUEUED,
    seq: int = 1,
    epoch: int = 1,
    created: str = TIME,
    next_attempt_at: str | None = None,
) -> Record:
    """The state of a job, as the broker with *epoch* writes it."""
    job = Job(
        tenant="default",
        job_id=job_id,
        seq=seq,
        state=state,
        created=created,
        worker="w1" if state is State.RUNNING else None,
        next_attempt_at=next_attempt_at,
    )
    return snapshot_record(job, epoch, TIME)


def odd_snapshots() -> list[Record]:
    """Each job's with numbers of any length, and what else may stand among them."""
    found = [
        snapshot(f"{state}-{digits}", state, 10**digits, 10 ** (15 - digits))
        for state in (State.QUEUED, State.RUNNING, State.COMPLETED)
        for digits in (0, 0, 1, 3, 8, 15)
    ]
    waits = found[0]
    more = (
        snapshot_record(Deletion("default", "gone", TIME, 7), 7, TIME),
        checkpoint_record(Checkpoint(epoch=7, ledger={}, inputs={}), TIME),
        Record(b"", waits.key),
        Record(b"x", b"default/odd", (("other", b"1"),)),
        Record(b"x", b"default/odd", (*waits.headers[:2], ("qjb-terminal", b"2"))),
        Record(b"x", b"default/odd", waits.headers[:3]),
        Record(b"x", b"default/odd", (*waits.headers, *waits.headers)),
    )
    return [*found, *more]


async def check_columns(log: Log, partition: int) -> int:
    """Check that columns say what reading says; how many records there are."""
    start = (await log.bounds(STATE, partition)).first
    stored = await log.read(STATE, partition, start)
    pages = [page async for page in log.columns(STATE, partition, start, 7)]
    assert [key for page in pages for key in page.keys] == [record.key for record in stored]
    assert [each for page in pages for each in page.values] == [record.value for record in stored]
    assert [page.next for page in pages] == [
        stored[min(n + 7, len(stored)) - 1].offset + 1 for n in range(0, len(stored), 7)
    ]
    kinds = (page.kinds[head] for page in pages for head in page.heads)
    for kind, record in zip(kinds, stored, strict=True):
        is_snapshot = tuple(name for name, _ in record.headers[:3]) == VERSION
        assert kind == (record.headers[:3] if is_snapshot else record.headers)
    return len(stored)

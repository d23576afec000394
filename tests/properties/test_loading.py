"""What is loaded at once is what is found by looking at one snapshot after the other."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.book import Book
from broker.core.usage import Usage
from broker.ledger.loading import Loading
from broker.transports.columns import as_columns
from broker.transports.topics import STATE
from schemas.ledger import Checkpoint
from schemas.records import Record, Stored
from schemas.state_records import checkpoint_record
from schemas.values import JobKey, State
from tests.support.snapshots import TIME, snapshot

NAMES = [f"j{number}" for number in range(4)]
States = dict[str, tuple[int, int, State, bool]]  # by job: epoch, number, state, whether it rests

SNAPSHOTS = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from([State.QUEUED, State.QUEUED, State.RUNNING, State.COMPLETED]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),  # whether it rests until its next attempt, if it waits
)
Said = tuple[str, State, int, int, bool]


def one_by_one(said: Sequence[Said]) -> tuple[States, set[str]]:
    """The newest states of live jobs, and those that have ended."""
    live: States = {}
    ended: set[str] = set()
    newest = 0
    for name, state, seq, epoch, rests in said:
        newest = max(newest, epoch)
        before = live.get(name)
        if before is not None and (epoch, seq) < before[:2]:
            continue
        if state.is_terminal:
            live.pop(name, None)
            ended.add(name)
        elif before is not None or name not in ended or epoch == newest:
            live[name] = (epoch, seq, state, rests)
    return live, ended


def stored(records: Sequence[Record]) -> list[Stored]:
    return [
        Stored(STATE, 0, offset, 0, record.key, record.value, record.headers)
        for offset, record in enumerate(records)
    ]


@settings(max_examples=400)
@given(st.lists(SNAPSHOTS, max_size=12), st.integers(1, 12), st.sets(st.integers(0, 12)))
def test_the_newest_states_are_found_however_many_are_read_at_once(
    said: list[Said], size: int, checkpoints: set[int]
) -> None:
    later = {False: None, True: TIME.replace("2026", "2099")}
    records = [snapshot(*each, next_attempt_at=later[rests]) for *each, rests in said]
    for at in sorted(checkpoints):
        records.insert(at, checkpoint_record(Checkpoint(epoch=1, ledger={}, inputs={}), TIME))
        records.insert(at, Record(b"", b"default/j0"))
    book, epochs = Book(), list[int]()
    loading = Loading(book, lambda value: epochs.append(1) or 1)
    for start in range(0, len(records), size):
        loading.take(as_columns(stored(records[start : start + size])))
    asyncio.run(loading.finish())

    live, ended = one_by_one(said)
    keys = {name: JobKey("default", name) for name in NAMES}
    assert {key.job_id: (job.seq, job.state) for key, job in book.jobs.items()} == {
        name: (seq, state) for name, (_, seq, state, _) in live.items()
    }
    waiting = {name: rests for name, (*_, state, rests) in live.items() if state is State.QUEUED}
    for rests, where in ((False, book.queues), (True, book.resting)):
        found = {name for name in NAMES if keys[name] in where}
        assert found == {name for name, so in waiting.items() if so is rests}
    running = sum(state is State.RUNNING for *_, state, _ in live.values())
    assert book.usage_of("default") == Usage(queued=len(waiting), running=running)
    assert {name for name in NAMES if book.has_ended(keys[name].encode())} == ended
    assert len(epochs) == len(checkpoints)
    assert loading.newest_epoch == max([each[3] for each in said] + epochs, default=0)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 9), max_size=12), st.booleans(), st.integers(1, 12))
def test_those_who_wait_go_in_the_order_of_their_arrival(
    ages: list[int], is_sorted: bool, size: int
) -> None:
    ages = sorted(ages) if is_sorted else ages
    records = [
        snapshot(f"j{number}", created=TIME.replace("00Z", f"0{age}Z"))
        for number, age in enumerate(ages)
    ]
    book = Book()
    loading = Loading(book, lambda value: 1)
    for start in range(0, len(records), size):
        loading.take(as_columns(stored(records[start : start + size])))
    asyncio.run(loading.finish())

    found = [key.job_id for key in book.queues.waiting("", len(ages))]
    assert found == [f"j{number}" for number in sorted(range(len(ages)), key=ages.__getitem__)]

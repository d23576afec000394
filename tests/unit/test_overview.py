"""What is told of queues is bounded, however many there are."""

from broker.core.book import Book
from broker.core.overview import queue_snapshots
from broker.core.roster import Roster
from executors.scripted import scripted_backend
from schemas.values import JobKey


def test_jobs_that_wait_for_what_is_offered_are_named_first() -> None:
    book, roster = Book(), Roster(4.0)
    roster.announce(scripted_backend("z"))
    for backend in ("a", "b", "z"):
        for number in range(3):
            book.queues.add(JobKey("default", f"{backend}{number}"), backend, 0)

    found = queue_snapshots(book, roster, ["gone"], {}, named=4)

    assert {each.backend: each.queued for each in found} == {"a": 3, "b": 3, "z": 3, "gone": 0}
    assert {each.backend: each.waiting for each in found if each.waiting} == {
        "z": ("default/z0", "default/z1", "default/z2"),
        "a": ("default/a0",),
    }

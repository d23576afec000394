"""Whose turn it is."""

from broker.core.lanes import SPARE, UNPLACED, place_of
from broker.core.queues import Queues
from broker.core.restoring import Restoring
from broker.core.scheduler import Offer
from schemas.values import JobKey


def key(name: object) -> JobKey:
    return JobKey("default", str(name))


def offer(worker: str, free: int, *backends: str) -> Offer:
    return Offer(worker, "i1", frozenset(backends), free)


def drain(queues: Queues, *offers: Offer) -> list[tuple[str, str]]:
    """Everybody who goes, and to which worker, until no slot is free."""
    order = []
    while choice := queues.next(offers):
        queues.remove(choice.key)
        choice.offer.free -= 1
        order.append((choice.key.job_id, choice.offer.worker))
    return order


def test_priority_goes_first_then_lost_attempts_then_arrival() -> None:
    queues = Queues()
    for name, priority, again in (
        ("a", 0, False),
        ("b", 0, False),
        ("low", -1, False),
        ("high", 3, False),
        ("lost1", 0, True),
        ("lost2", 0, True),
        ("low-lost", -1, True),
    ):
        queues.add(key(name), "aer", priority, again)
    expected = ["high", "lost1", "lost2", "a", "b", "low-lost", "low"]

    assert [k.job_id for k in queues.waiting("aer", 10)] == expected
    assert [name for name, _ in drain(queues, offer("w", 9, "aer"))] == expected
    assert len(queues) == 0


def test_backends_of_one_worker_share_its_slots_in_the_order_of_arrival() -> None:
    queues = Queues()
    for number in range(6):
        queues.add(key(number), ("aer", "noisy")[number % 2], 0)

    assert [name for name, _ in drain(queues, offer("w", 4, "aer", "noisy"))] == list("0123")


def test_a_job_goes_to_a_worker_that_offers_its_backend_the_roomiest_first() -> None:
    queues = Queues()
    for number in range(4):
        queues.add(key(number), "aer", 0)
    offers = offer("small", 1, "aer"), offer("large", 3, "aer"), offer("other", 9, "noisy")

    assert [worker for _, worker in drain(queues, *offers)] == ["large", "large", "small", "large"]


def test_one_backend_without_slots_keeps_nobody_else_waiting() -> None:
    queues = Queues()
    queues.add(key("stuck"), "device", 50)
    queues.add(key("goes"), "aer", 0)

    assert drain(queues, offer("w", 2, "aer")) == [("goes", "w")]
    assert queues.count("device") == 1
    assert queues.next([offer("w", 0, "device")]) is None


def test_who_leaves_a_queue_is_not_in_it_any_more() -> None:
    queues = Queues()
    for number in range(3):
        queues.add(key(number), "aer", 0)
    queues.remove(key(1))

    assert key(1) not in queues
    assert [k.job_id for k in queues.waiting("aer", 10)] == ["0", "2"]
    queues.remove(key(0))
    queues.remove(key(2))
    assert queues.backends() == []


def test_a_decision_costs_the_same_however_many_wait() -> None:
    queues = Queues()
    for number in range(100_000):
        queues.add(key(number), "aer", 0)

    taken = drain(queues, offer("w", 20_000, "aer"))  # a scan for each would take minutes

    assert [name for name, _ in taken] == [str(number) for number in range(20_000)]


def test_what_is_given_ahead_of_a_slot_goes_only_where_none_is_free() -> None:
    queues = Queues()
    for name in "abcd":
        queues.add(key(name), "aer", 0, False)
    brisk = Offer("brisk", "i1", frozenset({"aer"}), free=0, ahead=2)

    order = drain(queues, brisk, offer("idle", 1, "aer"))

    assert order == [("a", "idle"), ("b", "brisk"), ("c", "brisk")]


def test_a_decision_costs_the_same_however_many_backends_are_waited_for() -> None:
    queues = Queues()
    for number in range(20_000):
        queues.add(key(number), f"unknown-{number}", 0)
    for number in range(5_000):
        queues.add(key(f"goes-{number}"), "aer", 0)

    assert len(drain(queues, offer("w", 5_000, "aer", "noisy"))) == 5_000  # not 100,000,000 looks


def test_who_found_a_place_late_goes_by_arrival_as_the_others_do() -> None:
    queues = Queues()
    for name, backend, priority in (
        ("named", "aer", 0),
        ("waits", UNPLACED, 0),
        ("late", "aer", 0),
        ("high", UNPLACED, 1),
        ("waits-too", UNPLACED, 0),
        ("other", "noisy", 0),
    ):
        queues.add(key(name), backend, priority)
    queues.add(key("lost"), "aer", 0, again=True)
    queues.seekers.look_again()
    for found, _ in queues.seekers.to_look_at(10):
        queues.place(found, "aer")
    queues.add(key("last"), "aer", 0)
    order = ["high", "lost", "named", "waits", "late", "waits-too", "last"]

    assert [k.job_id for k in queues.waiting("aer", 10)] == order
    order.insert(order.index("last"), "other")
    assert [name for name, _ in drain(queues, offer("w", 9, "aer", "noisy"))] == order
    assert not queues.backends()


def test_those_that_wait_for_any_backend_are_looked_at_once_each_in_steps() -> None:
    queues = Queues()
    for number in range(10):
        queues.add(key(number), UNPLACED, 0)
    assert not queues.seekers.is_looking
    assert queues.seekers.to_look_at(10) == []

    queues.seekers.look_again()
    seen = [k.job_id for k, _ in queues.seekers.to_look_at(4)]
    queues.remove(key(5))
    queues.add(key("new"), UNPLACED, 0)  # what there is does not suit it: it was asked just now
    while queues.seekers.is_looking:
        seen += [k.job_id for k, _ in queues.seekers.to_look_at(4)]
    assert seen == ["0", "1", "2", "3", "4", "6", "7", "8", "9"]

    queues.seekers.look_again()
    assert len(queues.seekers.to_look_at(20)) == 10


def restored(count: int, *backends: str) -> Queues:
    """Jobs that wait for *backends* in turns, as a recovery puts them in."""
    queues = Queues()
    places = [place_of(backend, 0, again=False, tenant="default") for backend in backends]
    restoring = Restoring()
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        keys = [b"default/%d" % number for number in numbers]
        restoring.take(keys, [places[number % len(places)] for number in numbers])
    for block in restoring.blocks():
        queues.restore(block)
    return queues


def test_jobs_of_many_tenants_in_turns_make_one_block_for_each() -> None:
    restoring = Restoring()
    places = [place_of("aer", 0, again=False, tenant=f"t{number}") for number in range(50)]
    for start in range(0, 1000, 20):
        numbers = range(start, start + 20)
        keys = [b"t%d/%d" % (number % 50, number) for number in numbers]
        restoring.take(keys, [places[number % 50] for number in numbers])
    blocks = list(restoring.blocks())

    assert {block.place: len(block) for block in blocks} == dict.fromkeys(places, 20)
    assert len(blocks) == 50
    queues = Queues()
    for block in blocks:
        queues.restore(block)
    assert [k.job_id for k in queues.waiting("aer", 1000)] == [str(n) for n in range(1000)]
    queues.add(JobKey("t7", "new"), "aer", 0)
    assert queues.waiting("aer", 2000)[-1].job_id == "new"


def test_those_that_were_restored_go_before_those_that_came_since() -> None:
    queues = restored(500, "aer", "noisy")
    queues.add(key("new"), "aer", 0)
    queues.add(key("lost"), "aer", 0, again=True)
    queues.add(key("high"), "noisy", 1)
    for gone in (0, 7, 250, 499):
        queues.remove(key(gone))
    order = ["high", "lost", *(str(n) for n in range(500) if n not in (0, 7, 250, 499)), "new"]

    assert [queues.count("aer"), queues.count("noisy")] == [250, 249]
    assert [name for name, _ in drain(queues, offer("w", 999, "aer", "noisy"))] == order
    assert (len(queues), queues.backends()) == (0, [])


def test_one_that_was_restored_may_come_back_as_a_lost_one() -> None:
    queues = restored(3, "aer")
    queues.remove(key(1))
    queues.add(key(1), "aer", 0, again=True)
    queues.remove(key(1))
    queues.add(key(1), "aer", 0, again=True)

    assert [k.job_id for k in queues.waiting("aer", 9)] == ["1", "0", "2"]


def test_who_waited_for_any_backend_is_placed_as_it_came_however_many_there_are() -> None:
    queues = restored(20_000, UNPLACED, "aer")
    queues.add(key("new"), UNPLACED, 0)
    queues.seekers.look_again()
    placed = 0
    while queues.seekers.is_looking:
        queues.seekers.look_again() if placed == 5_000 else None  # those behind are not looked at twice
        for found, _ in queues.seekers.to_look_at(50):
            queues.place(found, "aer")
            placed += 1

    assert placed == 10_001
    assert queues.count(UNPLACED) == 0
    order = [*(str(number) for number in range(20_000)), "new"]
    assert [k.job_id for k in queues.waiting("aer", 99_999)] == order


def test_those_that_have_gone_take_no_room_behind_one_that_stays() -> None:
    queues = restored(10_000, UNPLACED)
    for number in range(1, 10_000):
        queues.remove(key(number))
        queues.add(key(f"new-{number}"), UNPLACED, 0)
        queues.remove(key(f"new-{number}"))

    assert [k.job_id for k in queues.waiting(UNPLACED, 9)] == ["0"]
    assert len(queues.seekers) <= SPARE + 2
    queues.seekers.look_again()
    assert queues.seekers.to_look_at(2 * SPARE) == [(key(0), UNPLACED)]
    assert not queues.seekers.is_looking

"""Whose turn it is."""

from broker.core.scheduler import Offer, Queues, next_dispatch
from schemas.values import JobKey


def key(name: object) -> JobKey:
    return JobKey("default", str(name))


def offer(worker: str, free: int, *backends: str) -> Offer:
    return Offer(worker, "i1", frozenset(backends), free)


def drain(queues: Queues, *offers: Offer) -> list[tuple[str, str]]:
    """Everybody who goes, and to which worker, until no slot is free."""
    order = []
    while choice := next_dispatch(queues, offers):
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
    assert [queues.ahead_of(key(name)) for name in expected] == list(range(7))
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
    assert next_dispatch(queues, [offer("w", 0, "device")]) is None


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

"""Which jobs have ended, in bounded memory."""

from broker.core.ended import Ended


def key(number: int) -> bytes:
    return b"default/j%d" % number


def test_what_was_added_is_known_and_nothing_else() -> None:
    ended = Ended(1000)
    for number in range(300):
        ended.add(key(number))

    assert all(key(number) in ended for number in range(300))
    assert not any(key(number) in ended for number in range(300, 1300))
    assert b"other/j1" not in ended


def test_the_newest_half_is_always_known_and_the_oldest_are_forgotten() -> None:
    ended = Ended(1000)
    for number in range(10_000):
        ended.add(key(number))

        assert key(max(0, number - 400)) in ended

    assert sum(key(number) in ended for number in range(10_000)) <= 1000


def test_a_key_that_is_added_again_takes_no_room() -> None:
    ended = Ended(10)
    for _ in range(100):
        ended.add(key(1))
    ended.add(key(2))

    assert key(1) in ended
    assert key(2) in ended

"""The search for cycles is held back while very much is made, and no longer."""

import gc

import pytest

from broker.ledger.collecting import RARELY, rarely_collected


def test_it_is_as_it_was_when_the_last_one_is_done_in_whatever_order_they_end() -> None:
    before = gc.get_threshold()
    first, second = rarely_collected(), rarely_collected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == RARELY

    second.__exit__(None, None, None)
    assert gc.get_threshold() == before


def test_it_is_as_it_was_after_a_failure() -> None:
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), rarely_collected():
        raise RuntimeError

    assert gc.get_threshold() == before

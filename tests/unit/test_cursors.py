"""Event ids as positions."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequestError
from broker.gateway.cursors import Edge, parse_seq, parse_vector, vector_id


def test_words_for_the_edges_are_understood() -> None:
    assert parse_seq("start") is parse_vector("start", 1) is Edge.START
    assert parse_seq("now") is parse_vector("now", 1) is Edge.NOW


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", "٣", "1e3", "0x1", "START", "9" * 19])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_seq(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "0.1-", "-0.1", "0.1--1.2", "0.1,1.2", "4.1", "0.-1", "0.1 ", "0.1-1.2-x", "0.1-0.2"],
)
def test_what_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_vector(text, 4)


def test_a_vector_that_is_very_long_is_refused_quickly() -> None:
    with pytest.raises(InvalidRequestError):
        parse_vector("-".join(["0.1"] * 20_000), 4)


def test_a_partition_that_is_not_named_is_read_from_its_start() -> None:
    assert parse_vector("1.7", 3) == {0: 0, 1: 7, 2: 0}


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=50))
def test_a_vector_survives_the_way_to_a_client_and_back(offsets: list[int]) -> None:
    vector = dict(enumerate(offsets))

    assert parse_vector(vector_id(vector), len(offsets)) == vector


def test_a_ledger_of_many_partitions_has_ids_that_are_understood() -> None:
    vector = dict.fromkeys(range(400), 10**12)

    assert parse_vector(vector_id(vector), 400) == vector


@given(st.text(max_size=60))
def test_nothing_that_a_client_sends_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(InvalidRequestError):
        assert parse_seq(text) is not None
    with contextlib.suppress(InvalidRequestError):
        assert parse_vector(text, 4)

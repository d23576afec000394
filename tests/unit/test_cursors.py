"""Positions as text: event ids, and cursors of lists."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequestError
from broker.gateway.cursors import (
    Edge,
    Positions,
    list_cursor,
    parse_list_cursor,
    parse_seq,
    parse_vector,
    vector_id,
)
from broker.gateway.filters import JobFilter


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
    with contextlib.suppress(InvalidRequestError):
        assert parse_list_cursor(text, JobFilter("default"), False)


LAST = ("2026-11-28T06:56:01.125Z", "a.b_c~d-e")


def test_a_cursor_of_a_list_survives_the_way_to_a_client_and_back() -> None:
    wanted = JobFilter("default", tags=("é", "b"), terminal=True)
    cursor = list_cursor(wanted, True, LAST)

    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert parse_list_cursor(cursor, wanted, True) == LAST
    assert parse_list_cursor(cursor, JobFilter("default", tags=("b", "é"), terminal=True), True)


@pytest.mark.parametrize(
    ("other", "ascending"),
    [
        (JobFilter("other", program="sampler"), False),
        (JobFilter("default", program="sampler"), True),
        (JobFilter("default", backend="sampler"), False),
        (JobFilter("default", program="sampler", created_after=LAST[0]), False),
    ],
)
def test_a_cursor_is_good_for_its_own_list_alone(other: JobFilter, ascending: bool) -> None:
    cursor = list_cursor(JobFilter("default", program="sampler"), False, LAST)

    with pytest.raises(InvalidRequestError, match="these filters and this order"):
        parse_list_cursor(cursor, other, ascending)


def test_a_cursor_that_was_changed_is_refused() -> None:
    wanted = JobFilter("default")
    cursor = list_cursor(wanted, False, LAST)

    for wrong in (
        cursor[1:],
        cursor[:-4],
        cursor + "A",
        f"{cursor}!",
        f" {cursor}",
        "A" * 9000,
        "é",
    ):
        with pytest.raises(InvalidRequestError, match="cursor: "):
            parse_list_cursor(wrong, wanted, False)


def test_a_vector_that_moves_on_has_the_id_that_its_offsets_make() -> None:
    positions = Positions({1: 7, 0: 12})
    assert positions.ident == vector_id(positions) == "0.12-1.7"
    positions[1] = 8
    assert positions.ident == vector_id(positions) == "0.12-1.8"

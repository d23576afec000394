"""Values that stand in one text."""

import pytest

from schemas.decoding import UnreadableError, decode_each
from schemas.jobs import Wish
from schemas.lines import Lines, size_of

VALUES = [b"{}", b'{"priority": 5}', b'{"priority":-1,"more":[1]}']


def test_lines_are_what_the_values_are() -> None:
    lines = Lines(b"\n".join(VALUES), 3)

    assert list(lines) == VALUES
    assert (len(lines), lines[1], lines[1:]) == (3, VALUES[1], VALUES[1:])
    assert size_of(lines) == size_of(VALUES)
    assert decode_each(lines, Wish) == decode_each(VALUES, Wish) == [Wish(), Wish(5), Wish(-1)]


@pytest.mark.parametrize("odd", [b"", b" ", b"{} {}", b"{", b"[]", b"\xff"])
def test_a_line_that_says_nothing_is_no_other_line(odd: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode_each(Lines(b"\n".join([VALUES[0], odd, VALUES[1]]), 3), Wish)


@pytest.mark.parametrize("behind", [b"", b"]", b"abc", b'"', b'", 1]'])
def test_half_a_character_is_told_wherever_it_stands(behind: bytes) -> None:
    with pytest.raises(UnreadableError) as refused:
        decode_each([rb'["\\\ud800' + behind + b'"]'], list[str])

    assert refused.value.code == "invalid_json"
    assert "surrogate" in refused.value.message


@pytest.mark.parametrize("text", [b'["a', rb'["\ud8', rb'["\\ud800"', rb'["\ud83d\ude00"'])
def test_a_text_that_is_cut_off_is_told_to_be(text: bytes) -> None:
    with pytest.raises(UnreadableError) as refused:
        decode_each([text], list[str])

    assert "truncated" in refused.value.message

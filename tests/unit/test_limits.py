"""What may travel: the end of a text that is too long for an event."""

import msgspec
import pytest

from schemas.limits import LONGEST_TEXT, shortened


@pytest.mark.parametrize("character", ["x", "é", "😀", "\n", '"', "\x01"])
def test_the_end_of_a_long_text_is_kept_however_its_characters_are_told(character: str) -> None:
    text = shortened("a" * 50_000 + character * 100_000)

    size = len(msgspec.json.encode(text)) - 2
    assert LONGEST_TEXT - 16 < size <= LONGEST_TEXT
    assert text == "… " + character * (len(text) - 2)
    assert shortened(text) == text


@pytest.mark.parametrize("character", ["x", "😀", "\x01"])
def test_what_fits_stays_as_it_is(character: str) -> None:
    longest = character * (LONGEST_TEXT // (len(msgspec.json.encode(character)) - 2))

    assert shortened(longest) == longest
    assert shortened("longer" + longest) != "longer" + longest


def test_an_end_of_characters_that_take_more_is_kept_to_its_last() -> None:
    text = shortened("x" * 60_000 + "\x01" * 10_900 + "end")

    assert text.endswith("\x01end")
    assert len(msgspec.json.encode(text)) <= LONGEST_TEXT + 2

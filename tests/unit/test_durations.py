"""Lengths of time as people write them."""

import pytest

from broker.durations import in_words, seconds_in


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("1.5h", 5400), ("30m", 1800), ("45s", 45), ("7 D", 604_800), ("20", 20)],
)
def test_a_length_of_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0d", "-1d", "d", "1w", "1e9d", "nan", "inf", "9" * 400, "1d 2h"]
)
def test_what_is_no_length_of_time_is_told_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90d, 12h, 30m or 45s"):
        seconds_in(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "for ever"),
        (86_400.0, "for 1 day"),
        (604_800.0, "for 7 days"),
        (5400.0, "for 90 minutes"),
        (0.5, "for 0.5 seconds"),
    ],
)
def test_people_are_told_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words

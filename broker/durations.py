"""Lengths of time as people write them: `90d`, `12h`, `30m`, `45s`, or a number of seconds."""

import re

UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
WORDS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
FOR_EVER = "forever"
LONGEST = 100 * 365 * UNITS["d"]  # s: nobody means more than that, and times stay times
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?) *([dhms]?)")


def seconds_in(text: str) -> float:
    """The seconds that *text* means; raises `ValueError` with the rule."""
    found = _WRITTEN.fullmatch(text.strip().lower())
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise ValueError("must be a length of time such as 90d, 12h, 30m or 45s, up to 36500d")
    return seconds


def in_words(seconds: float | None) -> str:
    """The same for people, such as `7 days`; None is for ever."""
    if seconds is None:
        return "for ever"
    unit = next((u for u, size in UNITS.items() if seconds % size == 0), "s")
    count = seconds / UNITS[unit]
    return f"for {count:g} {WORDS[unit]}{'' if count == 1 else 's'}"

"""Counts as bars in a terminal."""

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

MOST = 16  # outcomes that are shown; of more, the most frequent
EIGHTHS = " ▏▎▍▌▋▊▉"
_OUTCOME = re.compile(r"0x[0-9a-fA-F]+|[01 ]+")
MOST_BITS = 10_000  # of an outcome
MOST_COUNTED = 1e18

Counts = Mapping[str, float]


def lines(counts: Counts, width: int = 40) -> list[str]:
    """One line for each outcome: its name, a bar of at most *width* characters, number, share."""
    total = sum(counts.values()) or 1
    shown = sorted(sorted(counts, key=lambda name: -counts[name])[:MOST])
    widest = max((len(name) for name in shown), default=0)
    largest = max((counts[name] for name in shown), default=0) or 1
    found = [
        f"{name:>{widest}}  {bar(counts[name] / largest, width):<{width}}  "
        f"{_number(counts[name]):>7}  {counts[name] / total:6.1%}"
        for name in shown
    ]
    if len(counts) > len(shown):
        found.append(f"{'…':>{widest}}  and {len(counts) - len(shown)} more outcomes")
    return found


def bar(share: float, width: int) -> str:
    """A bar that takes *share* of *width*, to an eighth of a character."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def in_result(result: Any) -> list[Counts]:
    """The counts in a program's result, one per circuit; none if there are none to be seen."""
    if isinstance(result, dict) and "__value__" in result:
        result = result["__value__"]
    if _is_counts(result):
        return [result]
    if not isinstance(result, dict):
        return []
    for name in ("raw_counts", "counts", "quasi_dists", "quasiprobabilities"):
        found = result.get(name)
        found = found if isinstance(found, list) else [found]
        if found and all(_is_counts(item) for item in found):
            return found
    return _of_qiskit_result(result.get("results"))


def _of_qiskit_result(results: Any) -> list[Counts]:
    """Those of a Qiskit `Result`: hexadecimal, with the number of bits in the header."""
    if not isinstance(results, list):
        return []
    found: list[Counts] = []
    for item in results:
        data = item.get("data") if isinstance(item, dict) else None
        counts = data.get("counts") if isinstance(data, dict) else None
        if not _is_counts(counts):
            return []
        header = item.get("header")
        bits = header.get("memory_slots") if isinstance(header, dict) else None
        found.append(
            _in_bits(counts, bits if isinstance(bits, int) and 0 < bits < MOST_BITS else 0)
        )
    return found


def _in_bits(counts: Counts, bits: int) -> Counts:
    if not all(name.startswith("0x") for name in counts):
        return counts
    return {f"{int(name, 16):0{bits}b}": number for name, number in counts.items()}


def _is_counts(value: Any) -> TypeGuard[Counts]:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(len(name) <= MOST_BITS and _OUTCOME.fullmatch(name) for name in value)
        and all(_is_count(number) for number in value.values())
    )


def _is_count(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -MOST_COUNTED < value < MOST_COUNTED  # which NaN is not


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"

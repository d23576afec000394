"""Counts: found in results, and drawn."""

import pytest

from broker.cli.histogram import MOST, bar, in_result, lines


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        ({"raw_counts": [{"00": 5, "11": 3}]}, [{"00": 5, "11": 3}]),
        ({"raw_counts": {"00": 5}}, [{"00": 5}]),
        ({"quasi_dists": [{"0": 0.5, "1": 0.5}], "metadata": [{}]}, [{"0": 0.5, "1": 0.5}]),
        ({"iteration": 1, "counts": {"01 1": 2}}, [{"01 1": 2}]),
        (
            {"results": [{"data": {"counts": {"0x3": 7}}, "header": {"memory_slots": 3}}]},
            [{"011": 7}],
        ),
        (
            {"__type__": "Result", "__value__": {"results": [{"data": {"counts": {"0x1": 1}}}]}},
            [{"1": 1}],
        ),
        ("Hello, World!", []),
        ({"counts": {}}, []),
        ({"counts": {"heads": 3}}, []),
        ({"results": [{"data": {}}]}, []),
        ([1, 2], []),
        ({"counts": {"00\n": 1}}, []),
        ({"counts": {"00": float("nan")}}, []),
        ({"counts": {"00": 10**400}}, []),
        (
            {"results": [{"data": {"counts": {"0x1": 1}}, "header": {"memory_slots": 10**12}}]},
            [{"1": 1}],
        ),
    ],
)
def test_counts_are_found_where_programs_put_them(result: object, counts: list[object]) -> None:
    assert in_result(result) == counts


def test_each_outcome_is_a_bar_with_its_number_and_share() -> None:
    assert lines({"11": 512, "00": 1536}, 8) == [
        "00  ████████    1,536   75.0%",
        "11  ██▋           512   25.0%",
    ]


def test_of_many_outcomes_the_most_frequent_are_shown() -> None:
    drawn = lines({f"{number:05b}": number + 1 for number in range(32)})

    assert len(drawn) == MOST + 1
    assert drawn[0].startswith("10000")
    assert drawn[-1].endswith("and 16 more outcomes")


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [bar(share, 4) for share in (-1.0, 0.0, 0.5, 0.53, 1.0, 2.0)] == [
        "",
        "",
        "██",
        "██▏",
        "████",
        "████",
    ]

"""Values by key, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from broker.core.table import Table


def test_what_does_not_fit_is_not_taken_and_what_is_there_may_stay_as_large_as_it_is() -> None:
    table = Table[str, bytes](100, len)
    assert table.put("a", bytes(60))
    assert not table.put("b", bytes(41))
    assert not table.put("a", bytes(101))
    assert table == {"a": bytes(60)}
    assert table.put("a", bytes(10))
    assert table.put("b", bytes(90))
    table.hold("c", bytes(500))
    assert table.put("b", bytes(90))  # no more than before
    assert not table.put("d", b"x")
    table.drop("c")
    assert table.put("a", bytes(5))


STEPS = st.tuples(st.sampled_from("abcd"), st.integers(0, 60), st.sampled_from("phdk"))


@given(st.lists(STEPS))
def test_its_weight_is_that_of_what_it_holds(steps: list[tuple[str, int, str]]) -> None:
    table = Table[str, bytes](100, len)
    for key, size, step in steps:
        match step:
            case "p":
                before = table.weight
                table.put(key, bytes(size))
                assert table.weight <= max(before, 100)
            case "h":
                table.hold(key, bytes(size))
            case "d":
                table.drop(key)
            case _:
                table.keep(lambda name, _, key=key: name != key)  # type: ignore[misc]
        assert table.weight == sum(map(len, table.values()))

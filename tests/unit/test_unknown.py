"""What is said of a name that nobody knows."""

from schemas.unknown import no


def test_who_asks_for_an_unknown_name_is_told_which_there_are_and_which_is_near() -> None:
    assert no("program", "hello", ["sampler", "hello-world"]) == (
        "there is no program 'hello'; did you mean hello-world? There are: hello-world, sampler"
    )
    assert no("backend", "x", []) == "there is no backend 'x'. There are: none"


def test_a_long_name_and_many_that_there_are_make_no_long_message() -> None:
    said = no("backend", "x" * 1_000_000, [f"b{number:03}" for number in range(300)])
    assert said.endswith(
        "There are: b000, b001, b002, b003, b004, b005, b006, b007, b008, b009 and 290 more"
    )
    assert len(said) < 300

"""What options may be: what can not be is named, with its rule, before anything is asked or opened."""

from pathlib import Path

import pytest

from tests.support.cli import run

pytestmark = pytest.mark.slow

NO_TEXT = "\udcff"  # a byte that is no UTF-8, as an argument has it


@pytest.mark.parametrize("number", ["nan", "inf", "1e400"])
@pytest.mark.parametrize(
    "asked",
    [
        ("submit", "hello-world", "--max-execution-time"),
        ("submit", "hello-world", "--max-device-seconds"),
        ("programs", "upload", "mine.py", "--max-time"),
        ("run-local", "mine.py", "--timeout"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_not_finite_is_named_with_its_option(
    asked: tuple[str, ...], number: str
) -> None:
    done = run(*asked, number)

    assert done.returncode == 2
    assert done.stderr.endswith(f"'{asked[-1]}': {number} is no finite number.\n")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("tenants", "weight", "chem", "0"), "'WEIGHT': 0.0 is not in the range 0.001<=x<=1000."),
        (("tenants", "weight", "chem", "nan"), "'WEIGHT': nan is no finite number."),
        (("tenants", "add", "chem", "--weight", "0"), "'--weight': 0.0 is not in the range"),
        (("tenants", "quota", "chem", "--body", "1"), "'--body': 1 is not in the range 1024<=x"),
        (
            ("tenants", "quota", "chem", "--retries", "11"),
            "'--retries': 11 is not in the range 0<=",
        ),
        (("tenants", "quota", "chem", "--rate", "0"), "'--rate': 0.0 is not in the range 0<x"),
        (("tenants", "quota", "chem", "--queued", "-1"), "'--queued': -1 is not in the range 0<=x"),
        (
            ("tenants", "quota", "chem", "--shots", "many"),
            "'--shots': 'many' is not a valid integer",
        ),
        (
            ("tokens", "create", "--label", "l" * 201),
            "'--label': it has 201 characters, and may have",
        ),
        (("backends", "pause", "b", "--why", "w" * 501), "'--why': it has 501 characters, and may"),
    ],
    ids=str,
)
def test_a_value_out_of_its_bounds_is_named_with_them(
    tmp_path: Path, asked: tuple[str, ...], says: str
) -> None:
    done = run(*asked, "--data", str(tmp_path / "data"))

    assert done.returncode == 2
    assert f"Error: Invalid value for {says}" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ("--label", ("tokens", "create", "--label", NO_TEXT)),
        ("NAME", ("tenants", "add", NO_TEXT)),
        ("--why", ("backends", "pause", "b", "--why", NO_TEXT)),
        ("--tag", ("submit", "hello-world", "--tag", NO_TEXT)),
        ("--tag", ("submit", "hello-world", "--tag", "good", "--tag", NO_TEXT)),
        ("--input", ("submit", "hello-world", "-i", f"circuits={NO_TEXT}")),
        ("--input", ("run-local", "mine.py", "-i", f"circuits={NO_TEXT}")),
    ],
    ids=ascii,
)
def test_an_argument_that_is_no_utf_8_is_named(option: str, asked: tuple[str, ...]) -> None:
    done = run(*asked)

    assert done.returncode == 2
    assert f"{option}': " in done.stderr
    assert done.stderr.endswith("\\udcff is no UTF-8.\n")


def test_the_name_of_a_file_may_be_any_bytes(tmp_path: Path) -> None:
    for asked in (
        ("submit", "hello-world", "-i", f"a=@{NO_TEXT}"),
        ("programs", "upload", NO_TEXT),
        ("run-local", NO_TEXT),
    ):
        assert run(*asked).stderr == "Error: \\udcff: No such file or directory.\n"

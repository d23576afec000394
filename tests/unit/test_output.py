"""What commands print: foreign text is never more than text."""

import ast
from pathlib import Path

import pytest
from rich.console import Console

from broker.cli import show
from broker.cli.output import Coloured, for_rich, say, say_json, say_json_text
from broker.shown import visible

CLI = Path(show.__file__).parent
HOSTILE = "\x1b[2J\x9b31m\x7f\u202e\u2028\ud800 [bold]b[/bold] [link=http://x]l[/link] :smile:"
WRITERS = {"echo", "secho", "print", "write", "writelines", "print_json", "style", "pager"}


def test_only_one_module_prints() -> None:
    for path in sorted(CLI.glob("*.py")):
        calls = [
            node.func
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        names = {getattr(call, "attr", None) or getattr(call, "id", "") for call in calls}
        allowed = {
            "output.py": {"echo", "style"},
            "show.py": {"print"},
            "streams.py": {"write"},  # what the others print goes through there
        }
        assert names & WRITERS <= allowed.get(path.name, set()), path.name


def test_what_a_bar_is_shown_with_is_printed_through_the_same_module() -> None:
    tree = ast.parse((CLI / "show.py").read_text())
    printed = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "print"
    ]
    assert printed
    for call in printed:
        assert isinstance(call.args[0], ast.Call)
        assert getattr(call.args[0].func, "id", "") == "for_rich"


def assert_harmless(text: str) -> None:
    assert visible(text) == text
    assert "[bold]b[/bold]" in text
    assert ":smile:" in text


@pytest.mark.parametrize("err", [False, True])
def test_foreign_text_is_printed_without_what_drives_a_terminal(
    capsys: pytest.CaptureFixture[str], err: bool
) -> None:
    say("a", Coloured(HOSTILE, "red"), HOSTILE, err=err)

    assert_harmless(capsys.readouterr()[err])


def test_json_is_printed_without_what_drives_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({HOSTILE: HOSTILE})
    say_json_text('{"a":\n"\x9b"}')

    first, second = capsys.readouterr().out.splitlines()
    assert_harmless(first)
    assert second == r'{"a": "\u009b"}'


def test_a_bar_has_no_markup_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with show.Watch() as screen:
        screen.show({"kind": HOSTILE, "state": HOSTILE, "message": HOSTILE, "reason": "r"})
    console = Console(force_terminal=True, color_system="truecolor", width=500)
    console.print(for_rich(HOSTILE, Coloured("red", "red")), soft_wrap=True)

    plain, rich = capsys.readouterr().out.splitlines()
    assert_harmless(plain)
    assert_harmless(rich.replace("\x1b[31mred\x1b[0m", ""))


def test_a_table_is_as_wide_as_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("A", "B"), [("\x1b\n", "1"), ("量子", "2")])

    assert capsys.readouterr().out.splitlines() == [
        "A       B",
        r"\x1b\n  1",
        "量子    2",
    ]

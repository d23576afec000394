"""How large things may be, as what is larger tells more than one story, and how often tests sleep."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE, CLASS, FUNCTION = 350, 200, 40  # lines


def _too_large() -> Iterator[str]:
    for package in ("broker", "executors", "schemas"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text, name = path.read_text(), path.relative_to(ROOT).as_posix()
            if len(text.splitlines()) > MODULE:
                yield name
            yield from (f"{name}: {found}" for found in _within(ast.parse(text)))


def _within(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            most = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= most:
                yield node.name


def test_nothing_grows_too_large() -> None:
    assert list(_too_large()) == []


def test_tests_wait_for_the_thing_itself_rather_than_for_a_time() -> None:
    tests = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    nodes = [node for module in tests for node in ast.walk(module)]
    functions = sum(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in nodes
    )
    sleeps = sum(isinstance(node, ast.Attribute) and node.attr == "sleep" for node in nodes)

    assert sleeps < functions / 50

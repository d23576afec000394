"""Code that somebody brings is read, not run: what it needs, and what is wrong with it."""

import pytest

from broker.judging.code import read_code
from schemas.limits import LARGEST_CODE
from schemas.submits import WrongFieldsError

MAIN = "def main(backend, user_messenger, **kwargs): pass\n"


def refused(code: bytes | str) -> str:
    with pytest.raises(WrongFieldsError) as caught:
        read_code(code.encode() if isinstance(code, str) else code)
    assert caught.value.violations[0].path == "/data"
    return caught.value.message


def imported(code: str) -> list[tuple[str, str]]:
    return [(one.module, one.name) for one in read_code((code + "\n" + MAIN).encode())]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "there is no code"),
        ("\n \n", "there is no code"),
        (MAIN + "x = (1,\n", "line 2, column 5: '(' was never closed"),
        ("def main(:\n", "line 1, column 10: invalid syntax"),
        (MAIN + "\0", "line 2 has a NUL"),
        (MAIN.encode() + b"# \xff", "line 2 is not in UTF-8"),
        ("# -*- coding: latin-1 -*-\n" + MAIN, "it says that it is in iso-8859-1"),
        ("# -*- coding: nonsense -*-\n" + MAIN, "nonsense"),
        ("print('hi')", "it has no function main"),
        ("def outer():\n  def main(a, b): pass", "it has no function main"),
        ("async def main(a, b): pass", "main can not be async"),
        ("def main(): pass", "line 1: main() can not be called as main(backend"),
        ("def main(backend, *, user_messenger): pass", "can not be called as"),
        ("x" + "\n" * LARGEST_CODE, "at most 1,048,576 are allowed"),
        (MAIN + "(" * 1000, "too many nested parentheses"),
        (MAIN + "x = " + "-" * 100_000 + "1", "nested too deeply"),
        (MAIN + "x = a" + ".b" * 100_000, "nested too deeply"),
    ],
)
def test_code_that_can_not_run_is_refused_with_line_and_reason(code: bytes, said: str) -> None:
    assert said in refused(code)


@pytest.mark.parametrize(
    "code",
    [
        MAIN,
        "\ufeff" + MAIN,
        "# coding: utf-8\r\n" + MAIN.replace("\n", "\r\n"),
        "def main(backend, messenger, n, *rest): pass",
        "def main(*args): pass",
        "main = print",
        "main: object = print",
        "class main: pass",
        "from somewhere import run as main",
        "from somewhere import *",
        "if True:\n  def main(a, b): pass\nelse:\n  pass",
        "try:\n  pass\nexcept ValueError:\n  def main(a, b): pass",
        r"x = '\d'" + "\n" + MAIN,
    ],
)
def test_code_with_a_main_is_taken(code: str) -> None:
    read_code(code.encode())


def test_what_it_imports_is_found_wherever_it_stands() -> None:
    assert imported(
        "import numpy, scipy.linalg as la\n"
        "from qiskit.circuit import QuantumCircuit, library\n"
        "from . import beside\n"
        "class A:\n  def b(self):\n    import pandas\n"
    ) == [
        ("numpy", ""),
        ("scipy.linalg", ""),
        ("qiskit.circuit", "QuantumCircuit"),
        ("qiskit.circuit", "library"),
        (".", "beside"),
        ("pandas", ""),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n  import tomli\nexcept ImportError:\n  import other\n",
        "try:\n  import tomli\nexcept (ValueError, ModuleNotFoundError):\n  tomli = None\n",
        "try:\n  import tomli\nexcept:\n  tomli = None\nelse:\n  import more\n",
        "try:\n  import tomli\nexcept Exception:\n  tomli = None\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import tomli\n",
        "import contextlib\nwith contextlib.suppress(ImportError):\n  import tomli\n",
    ],
)
def test_imports_that_may_fail_are_not_counted(code: str) -> None:
    assert {module for module, _ in imported(code)} <= {"typing", "contextlib"}


@pytest.mark.parametrize(
    "code",
    [
        "try:\n  import tomli\nexcept ValueError:\n  pass\n",
        "try:\n  x = 1\nfinally:\n  import tomli\n",
        "def f():\n  try:\n    import tomli\n    tomli.go()\n  except Exception:\n    raise\n",
        "if not TYPE_CHECKING:\n  import tomli\n",
    ],
)
def test_a_guard_against_something_else_is_none(code: str) -> None:
    assert ("tomli", "") in imported(code)


def test_so_many_imports_are_an_attack() -> None:
    code = "".join(f"import m{n}\n" for n in range(1500))

    assert "more than 1000" in refused(code + MAIN)

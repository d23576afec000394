"""From a program's source to its `main`."""

import importlib.util
import linecache
import re
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any, cast

from executors.programs.authored import importing
from executors.programs.authored.backend import of_2021
from executors.programs.authored.calling import call
from executors.programs.authored.runtime import messenger_to

_NOT_OF_NAMES = re.compile(r"[^\w .()+-]", re.ASCII)
MOST_NAME = 80  # characters
MODULE = "program"  # what the program's own classes say that they are from


def load(code: bytes, name: str = MODULE) -> Callable[..., Any]:
    """The program in *code*, to be called as `main(backend, user_messenger, **inputs)`.

    Raises `SyntaxError`. Nothing of it runs before it is called; whatever it raises then comes out
    as it is. *name* is what tracebacks call its file.
    """
    importing.install()
    compiled = _compiled(code, f"{_NOT_OF_NAMES.sub('_', name)[:MOST_NAME]}.py")

    def main(backend: Any, user_messenger: Any, /, **inputs: Any) -> Any:
        entry = _main_of(compiled)
        return call(entry, of_2021(backend), messenger_to(user_messenger), inputs)

    return main


def _compiled(code: bytes, file: str) -> CodeType:
    """*code* compiled, its lines known to tracebacks."""
    text = importlib.util.decode_source(code)
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)  # without a time it is never dropped
    return compile(code, file, "exec", dont_inherit=True)


def _main_of(code: CodeType) -> Callable[..., Any]:
    """Execute *code* as a module; its `main`."""
    module = ModuleType(MODULE)
    module.__file__ = code.co_filename
    sys.modules[MODULE] = module  # dataclasses, pickle and type hints look there
    exec(code, module.__dict__)  # noqa: S102  the sandbox around this process is for that
    if not callable(main := getattr(module, "main", None)):
        raise AttributeError("the program has no function main(backend, user_messenger, **inputs)")
    return cast(Callable[..., Any], main)

"""Whose fault an exception is, and what to say of it: one sentence, and no traceback.

While a job's circuits and options are read, compiled and run, libraries raise whatever they
stumble over. Each such step is put under `blame`, which makes one of ours of it. What a program
raises by itself is no concern of this module.
"""

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from openqasm3.parser import QASM3ParsingError
from qiskit.exceptions import QiskitError
from qiskit_aer import AerError

from schemas.values import Violation

_BIT = re.compile(r'<(?:Qubit|Clbit) register=\(\d+, "([^"]*)"\), index=(\d+)>')
_UNROUTED = re.compile(r"No routing method selected.*CheckMap Error: (.*) failed")
_UNBUILT = re.compile(
    r"(\w+)\.__init__\(\) (?:missing|takes|got)"
)  # QPY keeps not all that it needs
_UNBOUND = re.compile(r"bad type after binding for gate ('[^']*')")
STDERR = 2  # its file descriptor
LONGEST = 300  # characters of what a library says


class InvalidInputsError(Exception):
    """A job's inputs can not be used; the message names the field."""

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class BackendError(Exception):
    """The backend could not do what the inputs ask for, though nothing is wrong with them."""


Fault = type[InvalidInputsError] | type[BackendError]
Saying = Callable[[BaseException], str]

# These are told by whoever started the attempt: they say nothing about the inputs.
_PASSED = (
    InvalidInputsError,
    BackendError,
    MemoryError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
)


def in_its_words(error: BaseException) -> str:
    """The first line of what *error* says, with the quotes that are part of it."""
    message = getattr(error, "message", None)  # the text of Qiskit's errors is a literal of this
    if isinstance(error, KeyError) and error.args:
        message = f"there is no {error.args[0]!r}"
    text = message if isinstance(message, str) else str(error)
    lines = text.strip().splitlines()
    line = lines[0].rstrip(" :") if lines else type(error).__name__
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _where_it_stopped(error: BaseException) -> str:
    """What the parser of OpenQASM 3 says, or the word at which it gave up without a word."""
    if str(error).strip():
        return in_its_words(error)
    cause = error.__cause__
    token = getattr(cause.args[0], "offendingToken", None) if cause and cause.args else None
    return f"{token.line},{token.column}: unexpected {token.text!r}" if token else "syntax error"


def _as(sentence: str) -> Saying:
    return lambda _: sentence


# What is raised; whose fault it is, where that does not depend on the step; what is said.
_TABLE: tuple[tuple[tuple[type[BaseException], ...], Fault | None, Saying], ...] = (
    ((RecursionError,), InvalidInputsError, _as("nested too deeply")),
    ((EOFError, zlib.error, struct.error), InvalidInputsError, in_its_words),
    ((OverflowError,), InvalidInputsError, _as("a number in it is too large")),
    ((QASM3ParsingError,), InvalidInputsError, _where_it_stopped),
    ((AerError,), BackendError, in_its_words),
    ((QiskitError, UnicodeError), InvalidInputsError, in_its_words),
    ((AssertionError,), None, _as("it is not what it should be")),
    ((Exception,), None, in_its_words),
    ((BaseException,), None, _as("it is not what it should be")),  # Rust's, as in Qiskit: a panic
)


def fault_of(error: BaseException, otherwise: Fault) -> tuple[Fault, str]:
    """Who is at fault, *otherwise* where the table leaves that open, and what to say."""
    for kinds, whose, say in _TABLE:
        if isinstance(error, kinds):
            return whose or otherwise, _foreign_words(say(error))
    raise error


@contextmanager
def blame(otherwise: Fault, what: str) -> Iterator[None]:
    """Whatever is raised inside becomes "*what*: why", the inputs' fault or the backend's.

    But for what is ours already, and for `MemoryError`, which is nobody's.
    """
    try:
        yield
    except _PASSED:
        raise
    except BaseException as error:
        whose, why = fault_of(error, otherwise)
        raise whose(f"{what}: {why}") from error


@contextmanager
def within(field: str) -> Iterator[None]:
    """What is wrong inside is wrong in *field*, and says so."""
    try:
        yield
    except InvalidInputsError as error:
        raise InvalidInputsError(f"{field}: {error}", error.violations) from error


@contextmanager
def quiet() -> Iterator[None]:
    """What libraries print while they read something, such as Rust's panics, is in no job's log."""
    kept = os.dup(STDERR)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(nothing)
        os.close(kept)


def _foreign_words(text: str) -> str:
    """*text*, but for what makes sense only to who reads the library's code."""
    if "incompatible function arguments" in text or "incompatible constructor" in text:
        return "a value has the wrong type or is out of range"
    if unbuilt := _UNBUILT.search(text):
        return f"it has a {unbuilt[1]}, which can not be read again: decompose it before"
    if unbound := _UNBOUND.search(text):
        return f"a parameter of gate {unbound[1]} is no real number with the values given"
    if "set_int_max_str_digits" in text:
        return "a whole number in it has too many digits"
    if unrouted := _UNROUTED.search(text):
        text = f"{unrouted[1]} is on qubits that are not coupled, and nothing brings them together"
    return _BIT.sub(r"\1[\2]", text)

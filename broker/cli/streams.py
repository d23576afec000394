"""The standard streams, also where one is closed or can not be written."""

import os
import sys
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import Any

_CLOSED = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)  # how what stands for a closed one is opened


class OutputError(OSError):
    """Standard output can not be written."""


class _Output(FileIO):
    """Standard output, of which one can tell that it was what failed."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


class _Errors(FileIO):
    """Standard error: where it takes nothing there is nobody to tell, and the rest goes on."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Have three streams, which show what they can as it is."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:  # closed; nothing else that is opened may get its number
            os.dup2(os.open(os.devnull, _CLOSED[number]), number)
    sys.stdin = sys.stdin or TextIOWrapper(BufferedReader(FileIO(0, closefd=False)))
    sys.stdout = _writing(sys.stdout, _Output(1, "w", closefd=False))
    sys.stderr = _writing(sys.stderr, _Errors(2, "w", closefd=False))


def _writing(stream: object, raw: FileIO) -> TextIOWrapper:
    """As *stream*, but on *raw*; what the terminal can not show is no error."""
    old = stream if isinstance(stream, TextIOWrapper) else None
    return TextIOWrapper(
        BufferedWriter(raw),
        encoding=old.encoding if old else "utf-8",
        errors="replace",
        line_buffering=old.line_buffering if old else False,
        write_through=old.write_through if old else False,
    )


def drop_output() -> None:
    """Let nothing more be written to standard output, not even at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

"""What must not happen on an event loop: calls that block, and steps that take very long.

The calls are found by blockbuster. It would raise, and whoever catches everything would hide that;
so what it finds is noted instead, and fails the test at its end.
"""

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from blockbuster import BlockBuster, BlockBusterFunction

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(f"{ROOT / name}{os.sep}" for name in ("broker", "executors", "schemas"))
TESTS = f"{ROOT / 'tests'}{os.sep}"
LONG = 2.0  # s of one step of the loop: far more than a busy machine makes of what is short

# What may block, by file and function, and why.
_AT_START = "once, where a process starts or ends"
_BY_KEY = "one row by its key, some 10 µs; a thread would cost more"
EXCUSED = {
    ("broker/gateway/copy_file.py", "CopyFile.__init__"): _AT_START,
    ("broker/gateway/copy_file.py", "CopyFile.close"): _AT_START,
    ("broker/gateway/queries.py", "find"): _BY_KEY,
    ("broker/gateway/queries.py", "was_deleted"): _BY_KEY,
    ("broker/gateway/session_rows.py", "find"): _BY_KEY,
    ("broker/gateway/api/docs.py", "_web"): "a file of ours, read once",
    (
        "broker/telemetry/metrics.py",
        "exposition",
    ): "what the kernel says of this process, in memory",
    ("broker/transports/files.py", "close_to_others"): _AT_START,
    ("broker/transports/files.py", "make_folder"): _AT_START,
    ("broker/transports/lock.py", "FileLock.take"): _AT_START,
    ("broker/roles.py", "built_in_programs"): _AT_START,
    ("broker/transports/unix/address.py", "_address"): _AT_START,
    ("broker/transports/unix/address.py", "bound"): _AT_START,
    ("broker/transports/unix/server.py", "LogServer.close"): _AT_START,
    ("executors/children/launcher.py", "ForkServer.start"): _AT_START,
    ("executors/gpu.py", "visible"): _AT_START,
    ("executors/gpus.py", "_started"): _AT_START,
    ("executors/hardware/process.py", "_launched"): _AT_START,
    ("executors/children/posix.py", "_stat"): "what the kernel says of a process, in memory",
    ("executors/children/posix.py", "resident"): "what the kernel says of a process, in memory",
    ("executors/children/capacity.py", "_read"): "what the kernel says of memory, in memory",
}
# They write a line of the log, or read those of a traceback.
OF_LOGS = ("logging/__init__.py", "linecache.py", "rich/traceback.py")
OF_COROUTINES = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Watch:
    """Notes what happens on event loops of this process that should not."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def blocked(self, function: BlockBusterFunction) -> None:
        """Take note that *function* is called, if one of ours does that and it is not excused."""
        caller, is_ours, frame = "", False, inspect.currentframe()
        while frame is not None:
            code, file = frame.f_code, frame.f_code.co_filename
            if file.endswith(OF_LOGS) or any(
                file.endswith(excused) and code.co_name in functions
                for excused, functions in function.can_block_functions
            ):
                return
            if file.startswith(OURS):
                where = file.removeprefix(f"{ROOT}{os.sep}")
                name = code.co_qualname.partition(".<locals>")[0]
                if not caller and (where, name) in EXCUSED:
                    return
                caller = caller or f"{where}:{frame.f_lineno} {name}"
                is_ours = is_ours or bool(code.co_flags & OF_COROUTINES)
            elif file.startswith(TESTS) and file != __file__ and not is_ours:
                return  # it is the test that blocks, be it by a function of ours
            frame = frame.f_back
        if caller:
            self.found.add(f"{caller} calls {function.full_name}")

    def took(self, record: logging.LogRecord) -> bool:
        """Take note of a step of the loop of which asyncio says that it was slow."""
        args = record.args if isinstance(record.args, tuple) else ()
        step, seconds = args if len(args) == 2 else ("", 0.0)
        if (
            isinstance(seconds, float)
            and seconds > LONG
            and any(each in str(step) for each in OURS)
        ):
            self.found.add(f"{step} took {seconds:.1f} s")
        return True


def _noting(function: BlockBusterFunction, watch: Watch) -> Callable[..., bool]:
    does_not_block = function.can_block_predicate

    def noted(*args: Any, **kwargs: Any) -> bool:
        if not does_not_block(*args, **kwargs):
            watch.blocked(function)
        return True

    return noted


@contextmanager
def watching() -> Iterator[Watch]:
    """Meanwhile all event loops of this process are watched."""
    watch, detector = Watch(), BlockBuster()
    for kind, names in (
        (apsw.Cursor, ("execute", "executemany")),
        (apsw.Connection, ("execute", "executemany")),
        (os, ("open", "fsync")),
    ):
        for name in names:
            added = BlockBusterFunction(kind, name)
            detector.functions[added.full_name] = added
    for function in detector.functions.values():
        function.can_block_predicate = _noting(function, watch)
    asyncio_says = logging.getLogger("asyncio")
    asyncio_says.addFilter(watch.took)
    detector.activate()
    try:
        yield watch
    finally:
        detector.deactivate()
        asyncio_says.removeFilter(watch.took)


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """Of the whole session, as switching it on and off costs more than it."""
    with watching() as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_blocks(watch: Watch) -> Iterator[None]:
    """What is under test neither blocks an event loop nor keeps it for very long."""
    watch.found.clear()
    yield
    assert not watch.found, "\n".join(sorted(watch.found))

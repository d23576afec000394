"""A program whose fork server can not fork at first, as where there are too many processes."""

import errno
import itertools
import os
from typing import Any

FAILURES = 5
_calls, _fork = itertools.count(), os.fork


def _fork_later() -> int:
    if next(_calls) < FAILURES:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


os.fork = _fork_later  # in the fork server, which imports this before it forks


def returns(backend: Any, user_messenger: Any, **_: Any) -> str:
    return "done"

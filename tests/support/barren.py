"""A program whose fork server can never fork."""

import errno
import os
from typing import Any


def _fork_never() -> int:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


os.fork = _fork_never  # in the fork server, which imports this before it forks


def never(backend: Any, user_messenger: Any, **_: Any) -> None:
    raise AssertionError("it runs nowhere")

"""A local copy that is not what it was."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import apsw
import msgspec

P = ParamSpec("P")
T = TypeVar("T")


class CacheDamagedError(Exception):
    """The file is not what it was: throw it away and fill another."""


# With these the file is what it was: it can be tried again.
_OF_THE_MOMENT = (apsw.FullError, apsw.BusyError, apsw.LockedError, apsw.InterruptError)


def told_as_damage(method: Callable[P, T]) -> Callable[P, T]:
    """*method*, with `CacheDamagedError` for whatever shows that the file is broken."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except _OF_THE_MOMENT:
            raise
        except (apsw.Error, msgspec.DecodeError, UnicodeError) as error:
            raise CacheDamagedError(str(error)) from error

    return guarded

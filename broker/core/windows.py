"""Whose a backend is, and until when: what operators reserved."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from broker.core.moments import moment
from schemas.reservations import Reservation, Window
from schemas.sessions import session_key
from schemas.values import JobKey

NEVER = float("inf")


class Reserved(NamedTuple):
    """A reservation, with its times as Unix times."""

    begin: float
    end: float
    made: Reservation

    def is_for(self, tenant: str, session: JobKey | None) -> bool:
        """Whether jobs of *tenant*, in that session or in none, may begin within it."""
        if tenant != self.made.tenant:
            return False
        return not self.made.session or session == self.session

    @property
    def session(self) -> JobKey | None:
        """The key of the session that it is for, if it is for one."""
        named = self.made.session
        return session_key(self.made.tenant, named) if named else None


class Around(NamedTuple):
    """What is reserved of a backend at one moment."""

    now: Reserved | None  # what holds
    ahead: Reserved | None  # what begins next


NEITHER = Around(None, None)


class Windows:
    """By backend. Where two overlap, the one that begins first comes first."""

    def __init__(self, reservations: Iterable[Reservation] = ()) -> None:
        self._made: dict[str, Reserved] = {}  # by id
        self._by_backend: dict[str, list[Reserved]] = {}
        for each in reservations:
            self.put(each)

    def __len__(self) -> int:
        return len(self._made)

    def __contains__(self, ident: object) -> bool:
        return ident in self._made

    def __iter__(self) -> Iterator[Reserved]:
        return iter(self._made.values())

    @property
    def backends(self) -> Collection[str]:
        """Those of which some are known, whether they are over or not."""
        return self._by_backend.keys()

    def get(self, ident: str) -> Reservation | None:
        """The reservation of that id."""
        found = self._made.get(ident)
        return found.made if found is not None else None

    def put(self, made: Reservation) -> None:
        """It holds from now on, or not any more. One whose times nobody can read never does."""
        self.remove(made.id)
        if made.cancelled is not None:
            return
        found = Reserved(moment(made.begin, NEVER), moment(made.end, -NEVER), made)
        self._made[made.id] = found
        those = self._by_backend.setdefault(made.backend, [])
        those.append(found)
        those.sort(key=lambda each: (each.begin, each.made.id))

    def remove(self, ident: str) -> None:
        """It holds no more, if it did."""
        if (found := self._made.pop(ident, None)) is None:
            return
        backend = found.made.backend
        self._by_backend[backend].remove(found)
        if not self._by_backend[backend]:
            del self._by_backend[backend]

    def around(self, backend: str, at: float) -> Around:
        """The one that holds at the time *at*, and the next one that begins after it."""
        if (those := self._by_backend.get(backend)) is None:
            return NEITHER
        now = next((each for each in those if each.begin <= at < each.end), None)
        return Around(now, next((each for each in those if at < each.begin < each.end), None))

    def opens(
        self, backend: str, start: float, seconds: float, tenant: str, session: JobKey | None = None
    ) -> float:
        """When a job of *tenant* that takes so many *seconds* may begin there, at *start* or later:
        not in a window of others, nor so that it would still run when one begins.
        """
        for each in self._by_backend.get(backend, ()):
            reaches = each.begin <= start or each.begin < start + seconds
            if reaches and start < each.end and not each.is_for(tenant, session):
                start = each.end
        return start


NO_WINDOWS = Windows()


def told_of(reserved: Reserved, holds: bool) -> Window:
    """As everybody is told of it."""
    made = reserved.made
    return Window(made.begin, made.end, made.tenant, holds, made.session, made.why)


def overlapping(asked: Reservation, known: Windows) -> Reservation | None:
    """One of *known* that *asked* overlaps with, if there is one."""
    begin, end = moment(asked.begin, NEVER), moment(asked.end, -NEVER)
    return next(
        (
            each.made
            for each in known
            if each.made.backend == asked.backend and begin < each.end and each.begin < end
        ),
        None,
    )

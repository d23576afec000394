"""Which jobs a list or a stream is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.cloudevents import encode
from schemas.jobs import Job
from schemas.mocks import MOCK, is_mock

Key = tuple[str, str]  # created, job_id: the order of lists
_NO_MOCK = f"coalesce(backend, '') <> '{MOCK}' AND coalesce(backend, '') NOT LIKE ? ESCAPE '\\'"
TAG = "\x1e{}\x1f"  # how each tag is stored, as JSON, in which these two are escaped


def tag_text(tag: str) -> str:
    """*tag* as it is stored."""
    return TAG.format(encode(tag).decode())


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a tenant are meant; None and () mean any.

    `where` and the bitmaps of the local copy (`bitmaps.py`) mean the same as `matches`.
    """

    tenant: str
    tags: tuple[str, ...] = ()
    program: str | None = None
    session: str | None = None
    backend: str | None = None
    terminal: bool | None = None
    created_after: str | None = None
    created_before: str | None = None
    mocks: bool = True  # dry runs, too
    alone: bool = False  # of no session

    def matches(self, job: Job) -> bool:
        """Whether *job*, as it stands, is meant."""
        details = job.details
        return (
            job.tenant == self.tenant
            and self.program in (None, job.program_id)
            and (self.session is None or (details and details.session_id) == self.session)
            and (not self.tags or set(self.tags) <= set(details.tags if details else ()))
            and self.backend in (None, job.backend)
            and not (self.alone and details and details.session_id is not None)
            and (self.mocks or not is_mock(job.backend or ""))
            and self.terminal in (None, job.terminal)
            and (self.created_after is None or job.created > self.created_after)
            and (self.created_before is None or job.created < self.created_before)
        )

    def where(self) -> tuple[str, Sequence[Any]]:
        """The same as a condition of SQL, with its values."""
        wanted: list[tuple[str, Any]] = [("tenant = ?", self.tenant)]
        wanted += [("instr(tags, ?)", tag_text(tag)) for tag in self.tags]
        wanted += [
            ("program = ?", self.program),
            ("session = ?", self.session),
            ("session IS NULL AND ?", self.alone or None),
            ("backend = ?", self.backend),
            ("terminal = ?", self.terminal),
            ("created > ?", self.created_after),
            ("created < ?", self.created_before),
            (_NO_MOCK, None if self.mocks else f"{MOCK}\\_%"),
        ]
        given = [(condition, value) for condition, value in wanted if value is not None]
        return " AND ".join(condition for condition, _ in given), [value for _, value in given]


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions of a tenant are meant; None means any."""

    tenant: str
    ended: bool | None = None
    mode: str | None = None
    backend: str | None = None
    created_after: str | None = None
    created_before: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list is wanted: what is behind the one *after*, else what is from *offset* on."""

    limit: int  # jobs or sessions, at most
    offset: int = 0
    after: Key | None = None  # it need not be there any more
    ascending: bool = False  # the oldest first
    inputs: bool = True  # as they travel with a job

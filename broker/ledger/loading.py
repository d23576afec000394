"""The newest of very many snapshots, for a book: found with no look into those of ended jobs."""

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import compress, islice
from operator import not_
from typing import cast

from broker.core.book import Book
from broker.core.snapshots import Sheet, Snapshots
from broker.ledger.reading import Version, say_snapshot_unreadable, version_in
from broker.ledger.sorting import Sorting
from broker.transports.columns import Columns
from schemas.decoding import UnreadableError, decode
from schemas.lines import Lines
from schemas.records import Headers
from schemas.sessions import Session
from schemas.state_records import CHECKPOINT_KEY, SESSION

STEP = 1000  # jobs that are looked at before others get a turn

_NO_JOBS = frozenset({None, CHECKPOINT_KEY})  # keys of records


class Loading:
    """Finds the newest snapshot of each job, by epoch and number: a lost broker may write too.

    A newest one that can not be read is the newest all the same: an older one is not what the job is.
    """

    def __init__(self, book: Book, checkpoint: Callable[[bytes], int]) -> None:
        self._book = book
        self._checkpoint = checkpoint  # takes the value of such a record, and says its epoch
        self.newest_epoch = 0
        self._live = Snapshots()
        self._versions: dict[bytes, Version] = {}  # of those,
        self._versions_of_all: dict[Sheet, Version] = {}  # or of all that stand together
        self._singly: set[bytes] = set()  # keys of those at which nobody has looked yet
        self._sorting = Sorting()  # all others, by what their snapshots say
        self._sessions: dict[bytes, tuple[Version, bytes]] = {}  # those that live

    def take(self, page: Columns) -> None:
        """Take in what a read of the state topic gave."""
        versions = {head: version_in(headers) for head, headers in page.kinds.items()}
        if of_sessions := {head for head, headers in page.kinds.items() if _is_session(headers)}:
            page = self._without_sessions(page, of_sessions, versions)
            versions = {head: kind for head, kind in versions.items() if head not in of_sessions}
        if not self._take_at_once(page, versions):
            for key, value, head in zip(page.keys, page.values, page.heads, strict=True):
                version = versions[head]
                if key is None or not value:
                    continue
                if key == CHECKPOINT_KEY or version is None:
                    self._take_other(key, value)
                else:
                    self._take_one(key, value, version)

    def _without_sessions(
        self,
        page: Columns,
        heads: Collection[Hashable],
        versions: Mapping[Hashable, Version | None],
    ) -> Columns:
        """*page* without the sessions in it, which are taken."""
        are_jobs = [head not in heads for head in page.heads]
        for key, value, head, is_job in zip(
            page.keys, page.values, page.heads, are_jobs, strict=True
        ):
            version = versions[head]
            if not is_job and key is not None and value and version is not None:
                self._take_session(key, value, version)
        return page._replace(
            keys=list(compress(page.keys, are_jobs)),
            values=list(compress(page.values, are_jobs)),
            heads=list(compress(page.heads, are_jobs)),
        )

    def _take_session(self, key: bytes, value: bytes, version: Version) -> None:
        self.newest_epoch = max(self.newest_epoch, version.epoch)
        before = self._sessions.get(key)
        if before is not None and version[:2] < before[0][:2]:
            return
        if version.is_last:
            self._sessions.pop(key, None)
            self._book.remember((key,))
        elif before is not None or not (
            version.epoch < self.newest_epoch and self._book.has_ended(key)
        ):
            self._sessions[key] = version, value

    def _take_at_once(self, page: Columns, versions: Mapping[Hashable, Version | None]) -> bool:
        """Do so if all are snapshots, and none can be older than what else is known of its job."""
        keys = page.keys
        kinds = {head: kind for head, kind in versions.items() if kind is not None}
        epochs = {kind.epoch for kind in kinds.values()} or {0}
        if len(kinds) < len(versions) or len(epochs) > 1 or max(epochs) < self.newest_epoch:
            return False
        ended, keys, values, heads = _parted(page, kinds)
        sheet = Sheet(keys, values)
        live = dict.fromkeys(keys, sheet)
        if (
            len(live) < len(keys)  # one of them is there twice
            or not (isinstance(values, Lines) or all(values))
            or not _NO_JOBS.isdisjoint(page.keys)
            or not live.keys().isdisjoint(ended)
            or not self._live.has_none_of(page.keys)  # or was
        ):
            return False
        self.newest_epoch = max(epochs)
        self._book.remember(ended)
        if live:
            self._live.add(live)
            if len(kinds) == 1:
                self._versions_of_all[sheet] = next(iter(kinds.values()))
            else:
                self._versions.update(zip(keys, map(kinds.__getitem__, heads), strict=True))
            self._sorting.look(keys, values)
        return True

    def _take_other(self, key: bytes, value: bytes) -> None:
        try:
            if key != CHECKPOINT_KEY:
                raise UnreadableError("invalid_message", "nothing says which state it is")
            self.newest_epoch = max(self.newest_epoch, self._checkpoint(value))
        except UnreadableError as error:
            say_snapshot_unreadable(repr(key), error.message)

    def _take_one(self, key: bytes, value: bytes, version: Version) -> None:
        self.newest_epoch = max(self.newest_epoch, version.epoch)
        before = self._version_of(key)
        self._singly.add(key)
        if before is not None and version[:2] < before[:2]:
            return
        if version.is_last:
            self._versions.pop(key, None)
            self._live.pop(key)
            self._book.remember((key,))
        elif before is not None or not (
            version.epoch < self.newest_epoch and self._book.has_ended(key)
        ):  # else it has ended, and a lost broker did not know
            self._versions[key] = version
            self._live[key] = value

    def _version_of(self, key: bytes) -> Version | None:
        """Of the newest that was met so far."""
        if (sheet := self._live.sheet_of(key)) in self._versions_of_all:
            return self._versions_of_all[sheet]
        return self._versions.get(key)

    async def finish(self) -> None:
        """Put the jobs into the book, and those that wait into their queues, as they came."""
        await self._look_singly()
        for name, (_, kept) in self._sessions.items():
            self._restore_session(name, kept)
        await self._sorting.restore(self._book, self._live)
        self._book.jobs.restore(self._live)

    async def _look_singly(self) -> None:
        """Look at those at which nobody has looked; what was seen of them before is old."""
        self._versions.clear()
        self._versions_of_all.clear()
        keys, self._singly = self._singly, set()
        if not keys:
            return
        self._sorting.forget(keys)
        snapshots = ((key, value) for key in keys if (value := self._live.get(key)))
        while some := dict(islice(snapshots, STEP)):
            self._sorting.look(list(some), list(some.values()))
            await asyncio.sleep(0)

    def _restore_session(self, key: bytes, snapshot: bytes) -> None:
        try:
            session: Session = decode(snapshot, Session)
        except UnreadableError as error:
            say_snapshot_unreadable(repr(key), error.message)
            return
        self._book.sessions.restore(session)


def _is_session(headers: Headers) -> bool:
    return bool(headers) and headers[0][0] == SESSION


def _parted(
    page: Columns, kinds: Mapping[Hashable, Version]
) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes], Sequence[Hashable]]:
    """The keys of those that have ended; of all others the keys, the snapshots and the heads."""
    keys, values, heads = cast("Sequence[bytes]", page.keys), page.values, page.heads
    is_last = {head: kind.is_last for head, kind in kinds.items()}
    if all(is_last.values()):
        return keys, (), (), ()
    if not any(is_last.values()):
        return (), keys, values, heads
    has_ended = [is_last[head] for head in heads]
    lives = list(map(not_, has_ended))
    ended, keys = list(compress(keys, has_ended)), list(compress(keys, lives))
    return ended, keys, list(compress(values, lives)), list(compress(heads, lives))

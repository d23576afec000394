"""The sessions of one local copy: what is not in its file yet, then what is."""

from msgspec.structs import replace

from broker.core.sessions import apply
from broker.gateway.copy_file import CopyFile
from broker.gateway.unwritten import Unwritten
from schemas.ledger import SessionEntry
from schemas.sessions import Session
from schemas.values import JobKey


class CopiedSessions:
    """Made anew with each file. There are few, and few ask: nothing more of them is in memory."""

    def __init__(self, file: CopyFile, unwritten: Unwritten) -> None:
        self._file, self._unwritten = file, unwritten

    def find(self, key: JobKey) -> Session | None:
        """The session that *key* names. Raises `UnavailableError`."""
        if (found := self._unwritten.sessions.get(key)) is not None:
            return found
        return self._file.look(self._file.store.find_session, key)

    def happen(self, session: Session | None, entry: SessionEntry) -> None:
        """*session*, or a new one, after *entry*."""
        self._unwritten.sessions[entry.key] = apply(session, entry)

    def base(self, snapshot: Session) -> bool:
        """Take a snapshot, for what the ledger does not tell any more; whether there was any."""
        known = self.find(snapshot.key)
        if known is not None and known.details is not None:
            return False
        if known is not None:  # it began before what the ledger tells
            begun = {"details": snapshot.details, "created": snapshot.created}
            more = {"activated": snapshot.activated, "digest": snapshot.digest}
            snapshot = snapshot if known.seq < snapshot.seq else replace(known, **begun, **more)
        self._unwritten.sessions[snapshot.key] = snapshot
        return True

"""The blob store: payloads that are too large for a record, addressed by what they contain."""

import asyncio
import hashlib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from broker.errors import PayloadMissingError, QjbError, SettingsError, UnavailableError
from broker.shown import url_visible, without_urls
from broker.transports.files import make_folder
from schemas.values import BlobRef

_SHA256 = re.compile("[0-9a-f]{64}")
PIECE = 256 * 1024  # bytes of a payload that are read at once
READERS = 16  # pieces that are read at the same time: each takes a thread and a descriptor


class Blobs(Protocol):
    """Keeps payloads. What was put can be got by everybody who knows the reference."""

    async def put(self, data: bytes | memoryview, media_type: str = "application/json") -> BlobRef:
        """Store *data*, durably; the same data twice is stored once. Raises `UnavailableError`."""

    async def get(self, ref: BlobRef) -> bytes:
        """The data that *ref* names, checked against its hash.

        Raises `PayloadMissingError`, or `UnavailableError` if the store can not be asked.
        """

    def stream(self, ref: BlobRef, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from *start* to *stop* piece by piece, each read when it is asked for.

        The whole is checked against its hash, its last piece held back until that is right; a
        part only against its length. Raises as `get` does.
        """

    def older_than(self, before: float) -> AsyncIterator[str]:
        """The hashes of what was put *before* (seconds since 1970). Raises `UnavailableError`."""

    async def drop(self, sha256: str, before: float) -> bool:
        """Take a payload out; not one that was put again since *before*. Whether it was done.

        Outside of folders, what another process puts again in this very moment goes as well.
        """

    async def is_of(self, identity: str) -> bool:
        """Whether no other log than that one keeps payloads here. Takes note of it."""


class StoredBlobs:
    """`Blobs` in anything that obstore reaches, at `sha256/ab/cdef…`."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self.folder = folder  # of a local store, which leaves flushing to us
        self._reading = asyncio.Semaphore(READERS)
        self._putting: Counter[str] = Counter()  # how many do so now
        self._dropping: str | None = None

    async def put(self, data: bytes | memoryview, media_type: str = "application/json") -> BlobRef:
        ref = BlobRef(await _digest(data), len(data), media_type)
        while self._dropping == ref.sha256:  # noqa: ASYNC110 - for milliseconds, once in a life
            await asyncio.sleep(0.001)
        self._putting[ref.sha256] += 1
        try:
            await self._put(ref, data)
        finally:
            self._putting[ref.sha256] -= 1
            self._putting += Counter()  # without those that nobody puts
        return ref

    async def _put(self, ref: BlobRef, data: bytes | memoryview) -> None:
        path = _path(ref.sha256)
        # Overwriting is atomic everywhere, and mends a blob that was damaged.
        attributes = None if self.folder else {"Content-Type": ref.media_type}
        try:
            await self._store.put_async(path, data, attributes=attributes)
            if self.folder is not None:
                await asyncio.to_thread(_flush, self.folder, path)
        except (BaseError, OSError) as error:
            raise _unavailable("the blob store did not take a payload", error) from None

    async def get(self, ref: BlobRef) -> bytes:
        try:
            found = await self._store.get_async(_path(ref.sha256))
            data = bytes(await found.bytes_async())
        except (BaseError, OSError) as error:
            raise _unread(ref, error) from None
        if await _digest(data) != ref.sha256:
            raise _damaged(ref)
        return data

    async def stream(
        self, ref: BlobRef, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        stop = ref.size if stop is None else stop
        whole = (start, stop) == (0, ref.size)
        digest = hashlib.sha256()
        for at in range(start, stop, PIECE):
            piece = await self._piece(ref, at, min(at + PIECE, stop))
            if whole:
                digest.update(piece)
            if whole and at + PIECE >= stop and digest.hexdigest() != ref.sha256:
                raise _damaged(ref)
            yield piece

    async def older_than(self, before: float) -> AsyncIterator[str]:
        try:
            async for found in self._store.list("sha256"):
                for meta in found:
                    name = str(meta["path"]).removeprefix("sha256/").replace("/", "")
                    if _SHA256.fullmatch(name) and meta["last_modified"].timestamp() < before:
                        yield name
        except (BaseError, OSError) as error:
            raise _unavailable("the blob store can not be listed", error) from None

    async def drop(self, sha256: str, before: float) -> bool:
        path = _path(sha256)
        if self._putting[sha256]:
            return False
        self._dropping = sha256
        try:
            meta = await self._store.head_async(path)
            if meta["last_modified"].timestamp() >= before:
                return False
            if self.folder is not None:
                return await asyncio.to_thread(_take_out, self.folder, path, before)
            await self._store.delete_async(path)
        except (NotFoundError, FileNotFoundError):
            return False
        except (BaseError, OSError) as error:
            raise _unavailable("the blob store does not let go of a payload", error) from None
        finally:
            self._dropping = None
        return True

    async def is_of(self, identity: str) -> bool:
        own = f"users/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        try:
            await self._store.put_async(own, identity.encode())
            users = [str(m["path"]) async for part in self._store.list("users") for m in part]
        except (BaseError, OSError) as error:
            raise _unavailable("the blob store can not be listed", error) from None
        return users == [own]

    async def _piece(self, ref: BlobRef, start: int, stop: int) -> bytes:
        try:
            async with self._reading:
                found = await self._store.get_range_async(_path(ref.sha256), start=start, end=stop)
        except (BaseError, OSError, ValueError) as error:
            raise _unread(ref, error) from None
        if len(found) != stop - start:
            raise _damaged(ref)
        return bytes(found)


def open_blobs(url: str) -> StoredBlobs:
    """The store at *url*: a folder (also as `file:///…`, made if need be), or any URL of obstore.

    Such as `s3://bucket/prefix`, `gs://…`, `az://…` and `memory:///`; credentials come from the
    environment. Raises `SettingsError`.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc:
            return _local(Path(unquote(parts.path)))
        if not parts.scheme and "://" not in url and not url.startswith("//"):
            return _local(Path(url))
        return StoredBlobs(from_url(url))
    except (BaseError, ValueError) as error:
        shown = url_visible(url)
        why = str(error).partition("\n")[0] if shown == url else "its URL can not be used"
        raise SettingsError(f"QJB_BLOBS: {shown!r} is no blob store: {why}") from None


def _unavailable(what: str, error: Exception) -> UnavailableError:
    """The error that *error* becomes, which itself quotes URLs with what is secret in them."""
    return UnavailableError(f"{what}: {without_urls(str(error))}")


def _local(folder: Path) -> StoredBlobs:
    folder = folder.expanduser().absolute()
    try:
        make_folder(folder)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        shown = url_visible(str(folder))
        message = f"the folder {shown} can not be made: {why}; QJB_DATA or QJB_BLOBS names another"
        raise SettingsError(message) from error
    return StoredBlobs(LocalStore(folder), folder)


def _path(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _unread(ref: BlobRef, error: Exception) -> QjbError:
    if isinstance(error, NotFoundError | FileNotFoundError):
        return PayloadMissingError(f"payload {ref.sha256} is not in the blob store")
    return _unavailable("the blob store can not be read", error)


def _damaged(ref: BlobRef) -> QjbError:
    return PayloadMissingError(f"payload {ref.sha256} is damaged in the blob store")


async def _digest(data: bytes | memoryview) -> str:
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())


def _flush(folder: Path, name: str) -> None:
    """Have the file and the folders that name it on disk, for those who may use *folder* alone."""
    path = folder / name
    rights = folder.stat().st_mode & 0o777
    for each, allowed in (
        (path, rights & 0o666),
        (path.parent, rights),
        (path.parent.parent, rights),
    ):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fchmod(descriptor, allowed)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_out(folder: Path, name: str, before: float) -> bool:
    """Remove the file if it is older than *before*; whether it was.

    It is put aside first: what is put from then on, by any process, is another file.
    """
    path = folder / name
    aside = path.with_name(f"{path.name}#0")  # what has such a name is passed over in lists
    path.rename(aside)
    if aside.stat().st_mtime < before:
        aside.unlink()
        return True
    aside.rename(path)  # over one that is there by now: it says the same
    _flush(folder, name)
    return False

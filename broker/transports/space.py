"""How much space there is and who has it: for metrics, and so that a disk is never filled up."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from broker.errors import InsufficientStorageError
from broker.telemetry import metrics

EVERY = 5.0  # s between looks
WALK = 100  # times as long as it took is waited before payloads are counted again

logger = structlog.get_logger()


class Space:
    """Looks at the files of this process, in a thread. *least*: bytes that must stay free."""

    def __init__(self, least: int, data: Path, logs: Path | None, blobs: Path | None) -> None:
        self._least = least
        self._data, self._log, self._blobs = data, logs, blobs
        self._walk_at = 0.0
        self.is_low = False  # so that nothing new should be taken
        self.free = 0

    def check(self) -> None:
        """Raise `InsufficientStorageError` while nothing new should be taken."""
        if self.is_low:
            raise InsufficientStorageError(
                f"only {self.free // 2**20} MiB of disk are free, so nothing new is taken"
                " (QJB_MIN_FREE); delete jobs, or make room"
            )

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Measure, and tell."""
        folders = [self._data, self._blobs, self._log and self._log.parent]
        try:
            self.free = min(shutil.disk_usage(each).free for each in folders if each is not None)
        except OSError as error:  # what can not be looked at can not be written either
            logger.warning("space.unknown", error=str(error))
            return
        self._judge(self.free < self._least)
        metrics.DISK_FREE_BYTES.set(self.free)
        metrics.CACHE_BYTES.set(_size(self._data.glob("gateway*.db*")))
        if self._log is not None:
            metrics.LOG_BYTES.set(_size(self._log.parent.glob(f"{self._log.name}*")))
        if self._blobs is not None and time.monotonic() >= self._walk_at:
            self._count_payloads(self._blobs)

    def _judge(self, low: bool) -> None:
        if low is not self.is_low:
            say = logger.warning if low else logger.info
            say("space.low" if low else "space.enough", free=self.free, least=self._least)
        self.is_low = low

    def _count_payloads(self, folder: Path) -> None:
        began = time.monotonic()
        metrics.BLOB_BYTES.set(
            _size(Path(at) / name for at, _, names in os.walk(folder) for name in names)
        )
        took = time.monotonic() - began
        self._walk_at = time.monotonic() + max(EVERY, WALK * took)


def _size(files: Iterable[Path]) -> int:
    size = 0
    for file in files:
        try:
            size += file.stat().st_size
        except OSError:  # it was there a moment ago, or is nothing that can be measured
            continue
    return size

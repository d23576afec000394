"""Appends that may be made twice, and so go on until they are made."""

import asyncio
from collections.abc import Sequence

import structlog

from broker.errors import LogUnavailableError
from broker.transports.log import Log, Position
from schemas.records import Record

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # s between tries

log = structlog.get_logger()


async def append_surely(target: Log, topic: str, records: Sequence[Record]) -> list[Position]:
    """Append *records*, perhaps twice; returns when they are there. Raises `RecordTooLargeError`."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await target.append(topic, records)
        except LogUnavailableError as error:
            log.warning("append.again", topic=topic, code=error.code, error=error.message)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)

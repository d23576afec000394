"""Appends that may be made twice, and so go on until they are made."""

import asyncio
from collections.abc import Sequence

import structlog

from broker.errors import LogUnavailableError
from broker.transports.log import Log, Position
from schemas.records import Record

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # s between tries

logger = structlog.get_logger()


async def append_surely(log: Log, topic: str, records: Sequence[Record]) -> list[Position]:
    """Append *records*, perhaps twice; returns when they are there. Raises `RecordTooLargeError`."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await log.append(topic, records)
        except LogUnavailableError as error:
            logger.warning("append.again", topic=topic, code=error.code, error=error.message)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)

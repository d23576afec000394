"""Attempts and cancels, into the inboxes of workers."""

from collections.abc import Sequence

from broker.appending import append_surely
from broker.core.book import Book
from broker.core.changes import Instructed
from broker.transports.log import Log
from schemas.inbox import Dispatch
from schemas.topics import INBOX
from schemas.values import JobKey


async def instruct(log: Log, book: Book, instructions: Sequence[Instructed], time: str) -> None:
    """Append *instructions*; a worker that is told twice heeds it once.

    Notes in *book* where each dispatch stands, so that a worker which has read past it and does
    not know the attempt can be told from one that has not read so far.
    """
    if not instructions:
        return
    records = [INBOX.write(told.worker, told.body, time, told.traceparent) for told in instructions]
    positions = await append_surely(log, INBOX, records)
    for told, position in zip(instructions, positions, strict=True):
        if not isinstance(told.body, Dispatch):
            continue
        attempt = book.attempts.get(JobKey(told.body.tenant, told.body.job_id))
        if attempt is not None and attempt.number == told.body.attempt:
            attempt.inbox, attempt.is_told = position.offset + 1, True

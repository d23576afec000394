"""A job's history, page by page, from wherever it is."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from broker.errors import EventsGoneError
from broker.gateway.api.parts import Parts
from broker.gateway.recent import HotJob

PAGE_EVENTS = 1000
PAGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Past:
    """One event of a job's history; `value` is its JSON."""

    seq: int
    kind: str
    value: bytes


async def history(parts: Parts, hot: HotJob, after: int) -> tuple[Sequence[Past], bool]:
    """Events after number *after*, a page of them; and whether some before them are not kept."""
    found: list[Past] = []
    size = 0
    while after < hot.job.seq and len(found) < PAGE_EVENTS and size < PAGE_BYTES:
        part = await _part(parts, hot, after)
        if not part or part[0].seq != after + 1:
            return found, not found
        found += part
        size += sum(len(past.value) for past in part)
        after = found[-1].seq
    return found[:PAGE_EVENTS], False


async def _part(parts: Parts, hot: HotJob, after: int) -> Sequence[Past]:
    """What either memory or the file has next."""
    recent = hot.kept_from
    if after + 1 < recent:
        rows = await parts.model.on_file.history(
            hot, after, min(hot.job.seq, recent - 1), PAGE_BYTES
        )
        return [Past(row.seq, row.kind, row.value) for row in rows]
    found: list[Past] = []
    size = 0
    for event in hot.events.since(after + 1):
        if len(found) == PAGE_EVENTS or size >= PAGE_BYTES:
            break
        found.append(Past(event.seq, event.kind, event.value))
        size += len(event.value)
    return found


async def all_events(parts: Parts, hot: HotJob) -> AsyncIterator[Past]:
    """Everything that is kept of a job's history, to where it stands now.

    Raises `EventsGoneError` if that is nothing.
    """
    after, end = 0, hot.job.seq
    while after < end:
        page, missing = await history(parts, hot, after)
        if missing and not page:
            after = hot.kept_from - 1  # what is not in the file is not kept
            if after >= end or not len(hot.events):
                raise EventsGoneError(
                    f"the events of job {hot.job.job_id} are not kept any more, so nobody knows "
                    "its interim results and logs; its details and its result are kept"
                )
            continue
        for past in page:
            yield past
        after = page[-1].seq if page else end

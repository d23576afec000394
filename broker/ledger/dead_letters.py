"""What nobody can read, and jobs whose last attempt was lost: put aside for an operator.

Beside the turns, so that nobody waits for it. What a letter is about is not done with before it is
stored.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import structlog
from msgspec.structs import replace

from broker.appending import append_surely
from broker.budget import RECORD, Room, weight
from broker.errors import RecordTooLargeError
from broker.ledger.options import Options
from broker.telemetry import metrics, times
from broker.transports.log import BESIDE, Log, size_of
from schemas.ledger import DeadLetter, InputPosition
from schemas.limits import LARGEST_RECORD
from schemas.records import Headers, Record, Stored
from schemas.topics import DEAD_LETTERS

MARGIN = 4096  # bytes that a log may add to a record
# What is kept of a record that does not fit beside its reason; together they always do. A value
# that is larger is not kept: it stands where it stood.
KEPT_VALUE, KEPT_KEY, KEPT_HEADERS = 768 * 1024, 64 * 1024, 64 * 1024  # bytes
PREFIXED = BESIDE + len("original-")
WITHIN = 2.0  # s for which anybody waits for them: who reads them again puts them aside again
TOGETHER = 128 * 1024  # bytes that are put aside at once, if it is more than one letter

Letter = tuple[DeadLetter, Stored | None]

logger = structlog.get_logger()


class DeadLetters:
    """Letters that wait to be put aside, in order. If they are many, only the reasons are kept."""

    def __init__(self, log: Log, options: Options) -> None:
        self._most = options.letters
        self._log = log
        self._waiting: deque[tuple[Letter, int]] = deque()  # with what it weighs
        self._room = Room("dead_letters", options.letter_bytes)
        self._come, self._none_left = asyncio.Event(), asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nothing should be read that may be put aside as well."""
        return self._room.is_over

    def pending(self) -> Iterator[InputPosition]:
        """The inputs that letters which are not stored yet are about."""
        return (one.source for (one, _), _ in self._waiting if one.source is not None)

    def take(self, letters: Sequence[Letter]) -> None:
        """Have *letters* put aside; does not wait."""
        for reason, original in letters:
            if len(self._waiting) >= self._most:
                logger.error("dead_letter.dropped", source=str(reason.source), code=reason.code)
                continue
            letter = (reason, None if self.is_full else original)
            self._waiting.append((letter, size := _weight(letter)))
            self._room.hold(size)
        if self._waiting:
            self._none_left.clear()
            self._come.set()

    async def run(self) -> None:
        """Put aside what comes, until cancelled."""
        while True:
            await self._come.wait()
            await self._put_next()

    async def finish(self) -> None:
        """Put aside what still waits, once nobody runs this any more; or not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                while self._waiting:
                    await self._put_next()

    async def all_stored(self) -> None:
        """Until none waits; or not for long."""
        if self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(WITHIN):
                    await self._none_left.wait()

    async def _put_next(self) -> None:
        share = self._share()
        try:
            await put_aside(self._log, share)
        except Exception:
            logger.exception("dead_letter.failed", sources=[str(one.source) for one, _ in share])
        for _ in share:
            self._room.give_back(self._waiting.popleft()[1])
        if not self._waiting:
            self._come.clear()
            self._none_left.set()

    def _share(self) -> list[Letter]:
        """The next that are put aside: little at once, as others wait for the log as well."""
        share, size = list[Letter](), 0
        for letter, its_size in self._waiting:
            if share and size + its_size > TOGETHER:
                break
            share.append(letter)
            size += its_size
        return share


async def put_aside(log: Log, letters: Sequence[Letter]) -> None:
    """Append *letters*, each with the record that it is about, if it is about one."""
    time = times.now()
    try:
        records = [_record(*letter, time) for letter in letters]
        await append_surely(log, DEAD_LETTERS, records)
    except RecordTooLargeError:  # the log takes less than it should
        for letter in letters:
            await _put_one(log, letter, time)
    for reason, _ in letters:
        metrics.DEAD_LETTERS.labels(reason.code).inc()
        logger.warning(
            "dead_letter",
            code=reason.code,
            source=str(reason.source) if reason.source else None,
            job_id=reason.job_id,
        )


async def _put_one(log: Log, letter: Letter, time: str) -> None:
    """Append it, or what the log takes of it."""
    reason, original = letter
    for about in (original, None):
        try:
            await append_surely(log, DEAD_LETTERS, [_record(reason, about, time)])
        except RecordTooLargeError as error:
            logger.error("dead_letter.too_large", source=str(reason.source), error=error.message)
        else:
            return


def _weight(letter: Letter) -> int:
    reason, original = letter
    return RECORD + len(reason.message) + (weight(original) if original is not None else 0)


def _record(letter: DeadLetter, original: Stored | None, time: str) -> Record:
    if original is None:
        return DEAD_LETTERS.write(letter, time)
    if not _is_far_too_large(original):
        whole = DEAD_LETTERS.write(letter, time, original)
        if size_of(whole) <= LARGEST_RECORD - MARGIN:
            return whole
    cut = DEAD_LETTERS.write(letter, time, _cut(original))
    return replace(cut, headers=(*cut.headers, ("qjb-cut", _sizes(original))))


def _is_far_too_large(original: Stored) -> bool:
    """Whether that shows without a look at each header: there may be very many."""
    beside = len(original.value) + len(original.key or b"")
    return beside + PREFIXED * len(original.headers) > LARGEST_RECORD


def _cut(original: Stored) -> Stored | None:
    if len(original.value) > KEPT_VALUE:
        return None
    key = None if original.key is None else original.key[:KEPT_KEY]
    return replace(original, key=key, written=_first_of(original.headers))


def _first_of(headers: Headers) -> Headers:
    room = KEPT_HEADERS
    for number, (name, value) in enumerate(headers):
        room -= len(name.encode()) + len(value) + PREFIXED
        if room < 0:
            return headers[:number]
    return headers


def _sizes(original: Stored) -> bytes:
    key, value = len(original.key or b""), len(original.value)
    return f"key {key}, value {value}, headers {len(original.headers)}".encode()

"""A program's output, merged: few pieces, none too long; and what it publishes, bounded in all."""

import codecs
import math

from executors.memory import told

INTERVAL = 0.3  # s between two pieces
FIRST = 0.05  # s from the first output to the first piece
PIECE = 64 * 1024  # bytes
TAIL = 1024  # bytes
TOTAL = 1024 * 1024  # bytes per attempt

MOST_INTERIM = 100_000  # interim results of an uploaded program
MOST_INTERIM_BYTES = 256 * 1024**2  # of them together

_new_decoder = codecs.getincrementaldecoder("utf-8")

CUT = "[output cut here: more than 1 MiB]\n"


class Output:
    """Bytes in as they come, text out a few times a second."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None  # most programs write nothing
        self._waiting = bytearray()
        self._taken = 0
        self.tail = b""  # the end of all that came
        self._cut = False
        self._last = -math.inf

    def add(self, data: bytes) -> None:
        """Take what came; what is above the bound is dropped."""
        self.tail = (self.tail + data)[-TAIL:]
        room = TOTAL - self._taken
        self._waiting += data[:room]
        self._taken += min(len(data), room)
        self._cut = self._cut or len(data) > room

    def due(self, now: float) -> float | None:
        """The time at which the next piece is to go out, if there is one."""
        if not self._waiting:
            return None
        return max(now + FIRST, self._last + INTERVAL)

    def pieces(self, now: float) -> list[str]:
        """What has come since the last time."""
        self._last = now
        return self._texts(final=False)

    def rest(self) -> list[str]:
        """All that is left, at the end of the attempt."""
        texts = self._texts(final=True)
        return [*texts, CUT] if self._cut else texts

    def _texts(self, final: bool) -> list[str]:
        if not self._taken:
            return []
        if self._decoder is None:
            self._decoder = _new_decoder("replace")
        data, self._waiting = bytes(self._waiting), bytearray()
        starts = range(0, len(data), PIECE)
        texts = [self._decoder.decode(data[start : start + PIECE]) for start in starts]
        if final:
            texts.append(self._decoder.decode(b"", final=True))
        return [text for text in texts if text]


class Interim:
    """How much a program may still publish."""

    def __init__(self) -> None:
        self._results, self._bytes = MOST_INTERIM, MOST_INTERIM_BYTES

    def exceeded(self, size: int) -> str | None:
        """Take a result of *size* bytes; what there is too much of now, if so."""
        self._results -= 1
        self._bytes -= size
        if self._results < 0:
            return f"{MOST_INTERIM:,} interim results"
        return f"{told(MOST_INTERIM_BYTES)} of interim results" if self._bytes < 0 else None

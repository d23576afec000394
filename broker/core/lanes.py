"""Jobs of one tenant that wait at one place, in the order of their arrival."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, takewhile

from schemas.values import JobKey

UNPLACED = ""  # stands for the backend of a job that no known backend suits yet

LOST, PLACED, ARRIVED = range(3)  # attempts; jobs that found their backend late; all others
Rung = tuple[int, int]  # (-priority, one of these): smaller goes first, but for the last two
Place = tuple[str, Rung, str]  # backend, rung, tenant
Entry = tuple[int, bytes, Place]  # number of the arrival, key of the job's records, where it waits
SPARE = 1_000  # entries of jobs that wait no more, which a lane may have besides as many as wait


def place_of(backend: str | None, priority: int, again: bool, tenant: str) -> Place:
    """Where a job waits; with *again*, behind the lost ones at the front of its priority."""
    return backend or UNPLACED, (-priority, LOST if again else ARRIVED), tenant


class Arrivals:
    """Numbers of arrivals, from 1 on."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """One more comes."""
        self._last += 1
        return self._last

    def reach(self, number: int) -> None:
        """All up to *number* have come."""
        self._last = max(self._last, number)


NONE: deque[Entry] = deque(maxlen=0)  # of a block that is closed


class Block:
    """Jobs that were restored together to one place. Entries are made once one of them is touched.

    One that waits no more leaves its entry behind.
    """

    __slots__ = ("_arrivals", "entries", "keys", "place")

    def __init__(self, arrivals: Sequence[int], keys: Sequence[bytes], place: Place) -> None:
        self._arrivals, self.keys, self.place = arrivals, keys, place
        self.entries: deque[Entry] = NONE

    def __len__(self) -> int:
        return len(self.keys) + len(self.entries)

    def open(self, known: "Known") -> None:
        """Make the entries, by which those jobs are *known* from now on."""
        if self.keys:
            self.entries = deque(zip(self._arrivals, self.keys, repeat(self.place)))
            known.update(zip(self.keys, self.entries, strict=True))
            self._arrivals = self.keys = ()

    @property
    def is_open(self) -> bool:
        """Whether the entries are made."""
        return not self.keys

    @property
    def last(self) -> int:
        """The arrival of the last of them, while it is closed."""
        return self._arrivals[-1]

    @property
    def arrival(self) -> int:
        """Of the first of them."""
        return self.entries[0][0] if self.is_open else self._arrivals[0]


Known = dict[bytes, Entry | Block]  # all that wait, by the keys of their records


def entry_in(known: Known, key: JobKey) -> Entry:
    """Of the job that *key* names. Raises `KeyError` if it does not wait."""
    name = key.encode()
    entry = known[name]
    while isinstance(entry, Block):
        entry.open(known)
        entry = known[name]
    return entry


def those_known(entries: Iterable[Entry], known: Known) -> deque[Entry]:
    """Those of *entries* whose jobs still wait as they say."""
    return deque([entry for entry in entries if known.get(entry[1]) is entry])


class Lane:
    """Those that were restored, then the others. Every step costs the same however many wait."""

    __slots__ = ("_added", "_behind", "_known", "_length", "_restored")

    def __init__(self, known: Known) -> None:
        self._known = known
        self._restored: deque[Block] = deque()
        self._behind = 0  # entries in those of jobs that wait no more
        self._added: OrderedDict[bytes, Entry] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        for block in self._restored:
            block.open(self._known)
            yield from filter(self._waits, block.entries)
        yield from self._added.values()

    @property
    def arrival(self) -> int:
        """Of the first one; there must be one."""
        return self._restored[0].arrival if self._restored else next(iter(self._added.values()))[0]

    def add(self, entry: Entry) -> None:
        """Put a job at the end; one that rested, before those that were lost meanwhile."""
        self._added[entry[1]] = entry
        self._length += 1
        if entry[2][1][1] == LOST:
            behind = takewhile(lambda it: it[1][0] >= entry[0], reversed(self._added.items()))
            for key in [key for key, _ in behind][:0:-1]:
                self._added.move_to_end(key)

    def restore(self, block: Block) -> None:
        """Add very many at once, before any other is added."""
        self._restored.append(block)
        self._length += len(block)

    def remove(self, entry: Entry) -> None:
        """That job waits no more; it must not be known by *entry* any more either."""
        self._length -= 1
        if self._added.pop(entry[1], None) is None:
            self._behind += 1
            self._tidy()

    def _tidy(self) -> None:
        """Let go of entries that were left behind: at the front, and where they are too many."""
        while self._restored and self._restored[0].is_open:
            entries = self._restored[0].entries
            while entries and not self._waits(entries[0]):
                entries.popleft()
                self._behind -= 1
            if entries:
                break
            self._restored.popleft()
        if self._behind > self._length + SPARE:
            for block in self._restored:
                block.entries = those_known(block.entries, self._known)
            self._behind = 0

    def _waits(self, entry: Entry) -> bool:
        return self._known.get(entry[1]) is entry

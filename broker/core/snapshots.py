"""Very many snapshots by the keys of their records, as they were read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.lines import size_of


class Sheet:
    """Snapshots that were read together. They are told apart once one of them is wanted."""

    __slots__ = ("_by_key", "_keys", "_values")

    def __init__(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        self._keys, self._values = keys, values
        self._by_key: dict[bytes, bytes] = {}

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return size_of(self._values or tuple(self._by_key.values()))

    def get(self, key: bytes) -> bytes:
        """The one with that *key*."""
        return self._told_apart()[key]

    def pop(self, key: bytes) -> bytes:
        """The one with that *key*, which is let go."""
        return self._told_apart().pop(key)

    def _told_apart(self) -> dict[bytes, bytes]:
        if self._values:
            self._by_key = dict(zip(self._keys, self._values, strict=True))
            self._keys = self._values = ()
        return self._by_key


class Snapshots(Mapping[bytes, bytes]):
    """The newest snapshot of each job."""

    def __init__(self) -> None:
        self._places: dict[bytes, bytes | Sheet] = {}  # itself, or where it stands
        self._sheets: list[Sheet] = []
        self._singly = 0  # bytes of those that stand alone

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: bytes) -> bytes:
        place = self._places[key]
        return place if isinstance(place, bytes) else place.get(key)

    def __setitem__(self, key: bytes, snapshot: bytes) -> None:
        self.pop(key)
        self._places[key] = snapshot
        self._singly += len(snapshot)

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return self._singly + sum(sheet.size for sheet in self._sheets)

    def pop(self, key: bytes) -> bytes | None:
        """Let go of that snapshot; what it was, if it was there."""
        place = self._places.pop(key, None)
        if isinstance(place, Sheet):
            return place.pop(key)
        self._singly -= len(place or b"")
        return place

    def add(self, keys: Mapping[bytes, Sheet]) -> None:
        """Take in very many at once: *keys*, of which none is there so far, and where they stand."""
        self._places.update(keys)
        self._sheets += set(keys.values())

    def has_none_of(self, keys: Iterable[bytes | None]) -> bool:
        """Whether no snapshot is there of all these."""
        return self._places.keys().isdisjoint(keys)

    def sheet_of(self, key: bytes) -> Sheet | None:
        """Where that snapshot stands, if it does so with others."""
        place = self._places.get(key)
        return place if isinstance(place, Sheet) else None

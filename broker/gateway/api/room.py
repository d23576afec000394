"""Memory that all requests share: what does not fit is refused, so that nothing else is."""

from broker.errors import UnavailableError


class Room:
    """So many bytes, for whoever holds some of them at the moment."""

    def __init__(self, size: int, full: str) -> None:
        self.free = size
        self._full = full  # what to say when nothing is left

    def share(self) -> "Share":
        """A part of it, empty at first; given back at the end of the block."""
        return Share(self)

    def take(self, size: int) -> None:
        """Raises `UnavailableError`."""
        if size > self.free:
            raise UnavailableError(f"{self._full}; try again")
        self.free -= size


class Share:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so much more. Raises `UnavailableError`."""
        self._room.take(size)
        self._held += size

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        self._room.free += self._held

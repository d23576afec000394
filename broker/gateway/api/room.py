"""Memory that all requests share: what does not fit waits or is refused, and nothing else is."""

import asyncio

from broker.errors import UnavailableError


class Room:
    """So many bytes, for whoever holds some of them at the moment."""

    def __init__(self, size: int, full: str) -> None:
        self.free = size
        self._freed = asyncio.Event()
        self._full = full  # what to say when nothing is left

    async def await_free(self, size: int, seconds: float) -> None:
        """Until so much is free. Raises `UnavailableError` when that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                while size > self.free:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise self._none_left() from None

    def share(self) -> "Share":
        """A part of it, empty at first; given back at the end of the block."""
        return Share(self)

    def take(self, size: int) -> None:
        """Raises `UnavailableError`."""
        if size > self.free:
            raise self._none_left()
        self.free -= size

    def give_back(self, size: int) -> None:
        """Others can have it."""
        self.free += size
        self._freed.set()

    def _none_left(self) -> UnavailableError:
        return UnavailableError(f"{self._full}; try again")


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
        self._room.give_back(self._held)

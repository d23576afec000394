"""Jobs that were looked up in the local copy's file a while ago, and names of which it has none."""

from broker.budget import Lately, Room
from broker.gateway.copy_file import CopyFile
from broker.gateway.recent import HotJob
from schemas.values import JobKey

NOBODY = 512  # bytes to remember that there is no job of a name


class LookedUp:
    """Answers of *file*, whose number is *copy*: at most *memory* bytes of them are kept."""

    def __init__(self, file: CopyFile, copy: int, memory: int) -> None:
        self._file, self._copy = file, copy
        room = Room("looked_up", memory)
        self._found = Lately[JobKey, HotJob | None](room, lambda hot: hot.size if hot else NOBODY)

    def __contains__(self, key: JobKey) -> bool:
        return key in self._found

    def find(self, key: JobKey) -> HotJob | None:
        """The job that *key* names, as the file has it. Raises `UnavailableError`."""
        if key in self._found:
            return self._found[key]
        row = self._file.look(self._file.store.find, key)
        found = HotJob(row.id, key, row.job, row.based, self._copy) if row else None
        self._found[key] = found
        return found

    def has_nobody(self, key: JobKey) -> None:
        """The job that *key* names is new: nobody has to look for it."""
        self._found[key] = None

    def forget(self, key: JobKey) -> None:
        """What was found is not right any more."""
        self._found.forget(key)

    def clear(self) -> None:
        """Nothing that was found is."""
        self._found.clear()

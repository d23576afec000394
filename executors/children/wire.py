"""One end of a socket pair on the event loop: frames in, bytes out, and nobody waits."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from executors.children.frames import BrokenFrameError, Frame, Splitter

CHUNK = 64 * 1024  # bytes; for more than twice as many, the allocator asks the system each time


class Wire:
    """Calls *on_frame* for each frame that comes, and *on_end* once when the peer hangs up, or says
    what is no frame: then with the reason.

    Plain readers and writers rather than a transport: they are there at once, without a task, and
    the control connection passes file descriptors.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_frame: Callable[[Frame], None],
        on_end: Callable[[str | None], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._splitter = Splitter()
        self._unsent: deque[memoryview] = deque()
        self._writing = False  # when the peer has room again
        self._reading = False
        self._open = True
        self.resume()

    def send(self, data: bytes) -> None:
        """Send *data* as fast as the peer takes it."""
        if not self._open:
            return
        self._unsent.append(memoryview(data))
        if len(self._unsent) == 1:
            self._write()

    def send_descriptors(self, data: bytes, descriptors: list[int]) -> None:
        """Send a few bytes with open files; raises `OSError` where that would have to wait."""
        socket.send_fds(self._socket, [data], descriptors)

    def pause(self) -> None:
        """Read no more until `resume`: the peer has to wait."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        """Read on."""
        if self._open and not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket, self._read)

    def drain(self) -> None:
        """Read now what a peer that is dead has left."""
        while self._open and self._read():
            pass

    def close(self) -> None:
        """Hang up; what has not been sent is dropped."""
        if not self._open:
            return
        self.pause()
        self._open = False
        self._write_no_more()
        self._unsent.clear()
        self._socket.close()

    def _read(self) -> bool:
        """Take what is there; whether there may be more."""
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._ended()
            return False
        try:
            frames = self._splitter.feed(data)
        except BrokenFrameError as error:
            self._ended(str(error))
            return False
        for frame in frames:
            self._on_frame(frame)
        return True

    def _ended(self, why: str | None = None) -> None:
        self.pause()
        self._on_end(why)

    def _write(self) -> None:
        while self._unsent:
            part = self._unsent[0]
            try:
                sent = self._socket.send(part)
            except (BlockingIOError, InterruptedError):
                self._write_later()
                return
            except OSError:  # the peer is gone, which reading tells
                self._unsent.clear()
                break
            if sent == len(part):
                self._unsent.popleft()
            else:
                self._unsent[0] = part[sent:]
        self._write_no_more()

    def _write_later(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket, self._write)

    def _write_no_more(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

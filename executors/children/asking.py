"""The calls that the program in this process makes to its device, through the worker."""

import os
import socket
import struct
import threading
from collections.abc import Callable

from executors.children.frames import Kind, receive

NUMBER = struct.Struct("!I")  # of the call, in front of what is asked and answered


class Calls:
    """Asks by *tell*, and reads the answers from *connection*, on which nothing else comes then."""

    def __init__(self, connection: socket.socket, tell: Callable[[Kind, bytes], None]) -> None:
        self._connection, self._tell = connection, tell
        self._reading, self._counting = threading.Lock(), threading.Lock()
        self._made = 0
        self._answers: dict[int, bytes] = {}

    def begin(self, asked: bytes) -> int:
        """Ask; which call it is: 1, 2, 3 …"""
        with self._counting:
            self._made += 1
            number = self._made
            self._tell(Kind.CALL, NUMBER.pack(number) + asked)
        return number

    def answer(self, number: int) -> bytes:
        """Wait for what came of it; once."""
        with self._reading:
            while number not in self._answers:
                frame = receive(self._connection)
                if frame is None:
                    os._exit(1)  # the worker is gone
                (found,) = NUMBER.unpack_from(frame.payload)
                self._answers[found] = frame.payload[NUMBER.size :]
            return self._answers.pop(number)

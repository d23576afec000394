"""Server-sent events, as they come off the wire.

Source: HTML standard, section 9.2.6, "Interpreting an event stream".
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream; `id` is the last that the stream has given, this event or before."""

    event: str
    data: str
    id: str


class Parser:
    """Makes messages of bytes, however these are cut. `id` and `retry` are what was said last."""

    def __init__(self) -> None:
        self.id = ""
        self.retry: float | None = None  # s
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that *chunk* completes."""
        text = self._rest + self._decoder.decode(chunk)
        # A carriage return at the end may be half of a line end.
        held = "\r" if text.endswith("\r") else ""
        text = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        self._rest = rest + held
        for line in lines:
            if line:
                self._field(line)
            elif message := self._dispatch():
                yield message

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000

    def _dispatch(self) -> Message | None:
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        return Message(event, "\n".join(data), self.id) if data else None

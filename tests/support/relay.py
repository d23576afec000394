"""A relay for HTTP on a port of its own, which loses answers, or hangs up on everybody."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.processes import free_port

CHUNK = 1 << 16


class Relay:
    """Passes on what comes to its port to *to_port*, and the answers.

    `lose`: so many of the next requests that start with *begins* go through, and their answers are
    lost; `is_away`: nobody gets through; `refuse`: so many of the next that start with *begins* do not go
    through, and are answered with `refusal`.
    """

    def __init__(self, to_port: int, begins: bytes) -> None:
        self.port, self._to_port, self.begins = free_port(), to_port, begins
        self.refuse, self.refusal = 0, b""
        self.lose, self.lost = 0, 0
        self.is_away = False
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """End all connections that there are."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.is_away:
                return
            with socket.create_connection(("127.0.0.1", self._to_port)) as server:
                losing = threading.Event()
                self._open |= {client, server}
                back = (server, client, losing)
                threading.Thread(target=self._answer, args=back, daemon=True).start()
                while data := client.recv(CHUNK):
                    if self.refuse and data.startswith(self.begins):
                        self.refuse -= 1
                        client.sendall(self.refusal)
                        continue
                    if self.lose and data.startswith(self.begins):
                        self.lose -= 1
                        losing.set()
                    server.sendall(data)
                self._open -= {client, server}

    def _answer(
        self, server: socket.socket, client: socket.socket, losing: threading.Event
    ) -> None:
        with suppress(OSError):
            while (data := server.recv(CHUNK)) and not losing.is_set():
                client.sendall(data)
        if losing.is_set():
            self.lost += 1
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(to_port: int, begins: bytes) -> Iterator[Relay]:
    """A relay while the block runs."""
    made = Relay(to_port, begins)
    try:
        yield made
    finally:
        made.close()

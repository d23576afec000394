"""Many subscribers of one busy job: how late an event reaches them, and what stalled ones cost.

`python -m benchmarks.fanout [--subscribers N] [--stalled N] [--seconds S] [--rate EVENTS]
[--rounds N] [--fill BYTES] [--together N]`.
Server and subscribers are separate processes; late is from the append to the log until the bytes
are read from the subscriber's socket. The reference, in the same run, is a bare asyncio protocol
that writes the same bytes to all connections.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.common import Row, line, machine, percentile
from broker.gateway.api.parking import AFTER
from broker.gateway.frames import chunk, frame
from broker.telemetry import logging as log_lines
from broker.transports.memory import MemoryLog
from schemas.events import Interim
from tests.support.gateway import Ledger, eventually, running

STAMP = re.compile(rb'"t": ?(\d+)')


@dataclass(frozen=True)
class Load:
    """How much there is to tell, and to whom."""

    subscribers: int
    stalled: int
    seconds: float
    rate: float
    fill: int = 4096  # bytes, so that what a stalled subscriber leaves fills the kernel's buffers
    together: int = 1  # events that are told at once

    @property
    def events(self) -> int:
        return int(self.seconds * self.rate) // self.together * self.together


# The server's process


def event_value(load: Load) -> bytes:
    return json.dumps({"t": time.monotonic_ns(), "fill": "x" * load.fill}).encode()


async def serve_gateway(load: Load) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    async with running(ledger=ledger, drain=0.5) as served:
        await ledger.queue("busy", program_id="hello-world")
        await ledger.start("busy")
        print(served.url.rpartition(":")[2], memory(), flush=True)
        streams = served.gateway._parts.streams
        await asyncio.to_thread(sys.stdin.readline)
        await eventually(lambda: len(streams) == load.subscribers + load.stalled, 30)
        await asyncio.sleep(2 * AFTER)  # until they are idle
        print(memory(), time.process_time(), flush=True)

        async def tell() -> None:
            values = [msgspec.Raw(event_value(load)) for _ in range(load.together)]
            said = (ledger.entry("busy", Interim, attempt=1, value=value) for value in values)
            await ledger.tell(*said)

        await publish(load, tell)
        print(memory(), time.process_time(), flush=True)
        await asyncio.to_thread(sys.stdin.readline)


class Bare(asyncio.Protocol):
    """Takes a request, and everything after it is what the server tells."""

    told: list[asyncio.Transport] = []  # noqa: RUF012 - one server a process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        self._transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        Bare.told.append(self._transport)


async def serve_bare(load: Load) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], memory(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await eventually(lambda: len(Bare.told) == load.subscribers + load.stalled, 30)
    print(memory(), time.process_time(), flush=True)

    async def tell() -> None:
        said = (frame("1", "interim", event_value(load)) for _ in range(load.together))
        data = chunk(b"".join(said))
        for transport in Bare.told:
            transport.write(data)

    await publish(load, tell)
    print(memory(), time.process_time(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def publish(load: Load, tell) -> None:  # type: ignore[no-untyped-def]
    """Tell each event at its time, however long the one before took."""
    start = time.monotonic()
    for number in range(0, load.events, load.together):
        await asyncio.sleep(max(0.0, start + number / load.rate - time.monotonic()))
        await tell()
    await asyncio.sleep(1.0)


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# The subscribers' process


@dataclass
class Outcome:
    """What the subscribers saw."""

    late: list[float]  # s
    missing: int
    growth: float  # bytes of the server's memory
    cpu: float  # s of the server
    idle: float  # bytes of the server's memory a stream, before anything was told

    def print(self, name: str) -> None:
        print(line(name, self.late))
        memory = f"server memory {self.growth / 2**20:+.1f} MiB"
        each = f"{1e6 / self.a_second:.1f} µs of server a delivery"
        idle = f"an idle stream {self.idle / 1024:.1f} KiB"
        print(f"{'':<52} missing {self.missing}, {memory}, {each}, {idle}")

    @property
    def a_second(self) -> float:
        """Deliveries a second of one core."""
        return len(self.late) / self.cpu

    @property
    def p99(self) -> float:
        return percentile(self.late, 0.99)


def connect(port: int, small: bool = False) -> socket.socket:
    made = socket.socket()
    if small:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    made.sendall(b"GET /jobs/busy/events?last_event_id=now HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return made


def measure(kind: str, load: Load) -> Outcome:
    command = [sys.executable, "-m", "benchmarks.fanout", "--serve", kind]
    for name, value in vars(load).items():
        command += [f"--{name}", str(value)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port, fresh = map(int, server.stdout.readline().split())
        stalled = [connect(port, small=True) for _ in range(load.stalled)]
        sockets = [connect(port) for _ in range(load.subscribers)]
        print("go", file=server.stdin)
        before, cpu_before = map(float, server.stdout.readline().split())
        late = read_all(sockets, load)
        after, cpu_after = map(float, server.stdout.readline().split())
        for made in (*sockets, *stalled):
            made.close()
        print("end", file=server.stdin)
        server.wait(30)
    expected = load.subscribers * load.events
    idle = (before - fresh) / (load.subscribers + load.stalled)
    return Outcome(late, expected - len(late), after - before, cpu_after - cpu_before, idle)


def rows(load: Load, rounds: int = 3) -> list[Row]:
    """What a delivery and an idle stream cost the server; the median of some rounds in turns."""
    kinds = ("bare", "gateway")
    outcomes = [[measure(kind, load) for kind in kinds] for _ in range(rounds)]
    bare, gateway = zip(*outcomes, strict=True)
    told = [statistics.median(o.a_second for o in side) for side in (gateway, bare)]
    idle = [statistics.median(o.idle for o in side) / 1024 for side in (gateway, bare)]
    missing = sum(outcome.missing for outcome in gateway)
    what = f"{load.subscribers} streams, {load.fill} bytes, {load.together} at once"
    return [
        Row(
            f"SSE deliveries per second and core, {what}",
            "≥ 100,000",
            f"{told[0]:,.0f}; {missing} missing",
            f"a bare protocol {told[1]:,.0f}: {told[0] / told[1]:.2f} ×",
        ),
        Row(
            f"Memory per idle stream, {load.subscribers} of them, server side",
            "≤ 8 KB",
            f"{idle[0]:.1f} KiB",
            f"a bare protocol {idle[1]:.1f} KiB",
        ),
    ]


def read_all(sockets: list[socket.socket], load: Load) -> list[float]:
    """How late each event came to each socket, in seconds."""
    by_number = {made.fileno(): made for made in sockets}
    rest = dict.fromkeys(by_number, b"")
    poll = select.epoll()
    for number, made in by_number.items():
        made.setblocking(False)
        poll.register(number, select.EPOLLIN)
    late: list[float] = []
    deadline = time.monotonic() + load.seconds + 15
    while len(late) < len(sockets) * load.events and time.monotonic() < deadline:
        for number, _ in poll.poll(0.5):
            data = by_number[number].recv(1 << 18)
            now = time.monotonic_ns()
            if not data:
                poll.unregister(number)
                continue
            whole = rest[number] + data
            end = 0
            for found in STAMP.finditer(whole):
                if found.end() == len(whole):
                    break  # the number may go on
                late.append((now - int(found[1])) / 1e9)
                end = found.end()
            rest[number] = whole[max(end, len(whole) - 40) :]
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--stalled", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--fill", type=int, default=4096, help="bytes of an event")
    parser.add_argument("--together", type=int, default=1, help="events that are told at once")
    parser.add_argument("--rounds", type=int, default=3, help="the median one is shown")
    parser.add_argument("--serve", choices=["gateway", "bare"])
    asked = parser.parse_args()
    load = Load(
        asked.subscribers,
        asked.stalled,
        asked.seconds,
        asked.rate,
        asked.fill,
        asked.together,
    )
    if asked.serve:
        log_lines.configure("warning")
        asyncio.run((serve_gateway if asked.serve == "gateway" else serve_bare)(load))
        return
    print(machine())
    print(
        f"{load.subscribers} subscribers of one job, {load.rate:g} events/s of {load.fill} bytes"
        f" for {load.seconds:g} s"
    )
    healthy = dataclasses.replace(load, stalled=0)
    kinds = {
        "reference: bare protocol": ("bare", healthy),
        "gateway": ("gateway", healthy),
        f"gateway, and {load.stalled} stalled": ("gateway", load),
    }
    rounds: dict[str, list[Outcome]] = {name: [] for name in kinds}
    for _ in range(asked.rounds):  # in turn, so that a machine with moods is fair to all
        for name, (kind, what) in kinds.items():
            rounds[name].append(measure(kind, what))
    for name, outcomes in rounds.items():
        sorted(outcomes, key=lambda outcome: outcome.p99)[len(outcomes) // 2].print(name)
    _, without, with_stalled = (
        statistics.median(outcome.p99 for outcome in outcomes) for outcomes in rounds.values()
    )
    print(f"p99 with stalled ones : without = {with_stalled / without:.2f}")


if __name__ == "__main__":
    main()

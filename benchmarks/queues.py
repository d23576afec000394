"""What it costs to say whose turn it is, with 1,000,000 jobs that wait.

`python -m benchmarks.queues [--queued N] [--tenants N] [--decisions N]`. Jobs of tenants in turns are
restored as a broker that takes over does it; then one after the other is chosen, leaves the queue, is
charged, and ends. The reference in the same run is plain first in, first out: a deque, and a
dictionary by which jobs are found.
"""

import argparse
import math
import resource
import time
from collections import deque
from itertools import islice

from benchmarks.common import machine
from broker.core.gaps import LOOKED
from broker.core.lanes import place_of
from broker.core.precedence import NO_CLAIMS, Claims
from broker.core.queues import Queues
from broker.core.restoring import Restoring
from broker.core.scheduler import Choice, Offer
from broker.core.windows import Around, Reserved
from broker.ledger.collecting import rarely_collected
from broker.telemetry.times import iso
from schemas.events import Completed
from schemas.jobs import Job
from schemas.reservations import Reservation
from schemas.values import JobKey, State

AT_ONCE = 4_000  # jobs that are restored together
BACKEND = "aer"
START = 1_800_000_000.0


def keys(queued: int, tenants: int) -> list[bytes]:
    """Of all jobs, by their arrival."""
    return [b"t%d/%x-%016x" % (n % tenants, n, n * 7919) for n in range(queued)]


def memory() -> int:
    """The most that this process has used so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def filled(waiting: list[bytes], tenants: int) -> Queues:
    """The queues with all of *waiting*."""
    places = [place_of(BACKEND, 0, again=False, tenant=f"t{number}") for number in range(tenants)]
    queues, restoring = Queues(), Restoring()
    for start in range(0, len(waiting), AT_ONCE):
        some = waiting[start : start + AT_ONCE]
        where = [places[number % tenants] for number in range(start, start + len(some))]
        restoring.take(some, where)
    for block in restoring.blocks():
        queues.restore(block)
    return queues


def before_a_window() -> Claims:
    """One job in ten ends before a window of others begins; whoever is next does not."""
    made = Reservation(id="r", backend=BACKEND, tenant="lab", begin="", end="", created="")
    around = Around(None, Reserved(START, START + 3600, made))

    def ends(key: JobKey, backend: str) -> float:
        number = int(key.job_id.partition("-")[0], 16)
        return START if number % 10 == 9 else math.inf

    return Claims(windows=lambda backend: around, ends=ends)


def chosen(queues: Queues, claims: Claims) -> Choice:
    """Whose turn it is. Raises `LookupError` if nobody may go."""
    choice = None
    while choice is None:
        queues.gaps.is_looking = False
        choice = queues.next([Offer("w", "i", frozenset({BACKEND}), free=1)], claims=claims)
        if choice is None and not queues.gaps.is_looking:
            raise LookupError("nobody may go")
    return choice


def decide(queues: Queues, number: int, claims: Claims = NO_CLAIMS) -> JobKey:
    """Whose turn it is; what follows until that job has ended."""
    choice = chosen(queues, claims)
    key, at = choice.key, START + number / 100
    queues.remove(key)
    job = Job(
        tenant=key.tenant,
        job_id=key.job_id,
        seq=2,
        state=State.RUNNING,
        created=iso(START),
        program_id="hello-world",
        backend=BACKEND,
        started=iso(at),
    )
    charge, changed = queues.sharing.begin(job, iso(at))
    queues.touch(BACKEND, changed)
    end = Completed(job_id=key.job_id, seq=3, time=iso(at + 0.1), state=State.COMPLETED, attempt=1)
    queues.touch(BACKEND, queues.sharing.end(job, BACKEND, charge, end))
    return key


def by_share(waiting: list[bytes], tenants: int, decisions: int) -> float:
    """Print what *decisions* took of a processor; seconds for one."""
    before, began = memory(), time.thread_time()
    with rarely_collected():
        queues = filled(waiting, tenants)
    took = time.thread_time() - began
    print(f"restored in {took:.2f} s; memory +{memory() - before} MiB beside the keys")
    mean = measured(queues, decisions, NO_CLAIMS, "a decision and all that follows")
    began = time.thread_time()
    decide(queues, 0, before_a_window())
    print(f"the first one before a window: {(time.thread_time() - began) * 1e3:.1f} ms")
    few = min(decisions, LOOKED // 10 - 1)
    measured(queues, few, before_a_window(), "the others, one job in ten being short enough")
    return mean


def measured(queues: Queues, decisions: int, claims: Claims, what: str) -> float:
    """Print what *decisions* took of a processor; the mean of them, in seconds."""
    times = []
    for number in range(decisions):
        began = time.thread_time()
        decide(queues, number, claims)
        times.append(time.thread_time() - began)
    mean = sum(times) / decisions
    times.sort()
    median, last = times[decisions // 2], times[decisions * 99 // 100]
    print(
        f"processor time of {what}: mean {mean * 1e6:.1f}, p50 {median * 1e6:.1f},"
        f" p99 {last * 1e6:.1f}, at most {times[-1] * 1e6:.0f} µs"
    )
    return mean


def by_arrival(waiting: list[bytes], decisions: int) -> float:
    """Seconds for one, first in, first out, with nothing that follows."""
    queue = deque(waiting)
    known = dict.fromkeys(waiting)
    began = time.thread_time()
    for key in islice(iter(queue.popleft, None), decisions):
        del known[key]
        JobKey.decode(key)
    return (time.thread_time() - began) / decisions


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=40)
    parser.add_argument("--decisions", type=int, default=100_000)
    asked = parser.parse_args()
    print(machine())
    decisions = min(asked.decisions, asked.queued)
    waiting = keys(asked.queued, asked.tenants)
    fair = by_share(waiting, asked.tenants, decisions)
    plain = by_arrival(waiting, decisions)
    print(f"plain first in, first out: {plain * 1e6:.2f} µs; by share {fair / plain:.0f} × that")


if __name__ == "__main__":
    main()

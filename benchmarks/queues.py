"""What it costs to say whose turn it is, with 1,000,000 jobs that wait.

`python -m benchmarks.queues [--queued N] [--tenants N] [--decisions N]`. Jobs of tenants in turns are
restored as a broker that takes over does it; then one after the other is chosen, leaves the queue, is
charged, and ends. The reference in the same run is plain first in, first out: a deque, and a
dictionary by which jobs are found.
"""

import argparse
import resource
import time
from collections import deque
from itertools import islice

from benchmarks.common import machine
from broker.core.lanes import place_of
from broker.core.queues import Queues
from broker.core.scheduler import Offer
from broker.ledger.collecting import rarely_collected
from broker.telemetry.times import iso
from schemas.events import Completed
from schemas.jobs import Job
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
    queues = Queues()
    for start in range(0, len(waiting), AT_ONCE):
        some = waiting[start : start + AT_ONCE]
        where = [places[number % tenants] for number in range(start, start + len(some))]
        queues.restore(some, where)
    return queues


def decide(queues: Queues, number: int) -> JobKey:
    """Whose turn it is; what follows until that job has ended."""
    choice = queues.next([Offer("w", "i", frozenset({BACKEND}), free=1)])
    assert choice is not None
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
    times = []
    for number in range(decisions):
        began = time.thread_time()
        decide(queues, number)
        times.append(time.thread_time() - began)
    mean = sum(times) / decisions
    times.sort()
    median, last = times[decisions // 2], times[decisions * 99 // 100]
    print(
        f"processor time of a decision and all that follows: mean {mean * 1e6:.1f}, p50 {median * 1e6:.1f},"
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

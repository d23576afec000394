"""Tasks for Dramatiq's workers on Redis: `python -m dramatiq benchmarks.dramatiq_tasks`."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ["BENCHMARK_REDIS"]

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor
def nothing() -> None:
    """What a queue costs when there is nothing to do."""


@dramatiq.actor(store_results=True)
def answer() -> str:
    """The same, and its result is kept for who waits for it."""
    return "Hello, World!"

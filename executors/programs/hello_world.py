"""`hello-world`: says hello, after as many random circuits as asked."""

from typing import Any

from executors.backends.aer import LocalSimulator
from executors.programs.random_circuits import publish_iterations


def main(backend: LocalSimulator, user_messenger: Any, iterations: int = 1, **ignored: Any) -> str:
    """One interim result per iteration, then the greeting."""
    del ignored
    publish_iterations(backend, user_messenger, iterations)
    return "Hello, World!"

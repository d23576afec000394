"""`sample-program`: runs random circuits, one interim result each."""

from typing import Any

from executors.backends.aer import LocalSimulator
from executors.programs.random_circuits import publish_iterations


def main(backend: LocalSimulator, user_messenger: Any, iterations: int, **ignored: Any) -> str:
    """One interim result per iteration, then the word that it is done."""
    del ignored
    publish_iterations(backend, user_messenger, iterations)
    return "All done!"

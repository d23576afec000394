"""Runs what somebody wrote in a child, given its source beside its inputs."""

from typing import Any

from executors.programs.authored.loading import load

PROGRAMS = {"authored": "tests.support.authored:main"}


def main(backend: Any, user_messenger: Any, source: str, **inputs: Any) -> Any:
    return load(source.encode(), "mine")(backend, user_messenger, **inputs)

"""A service for the tests of one module, and the folder of its data, for what operators do there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.processes import free_port, up


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operated") / "up"


@pytest.fixture(scope="module")
def url(data: Path) -> Iterator[str]:
    port = free_port()
    process = up(data, port, slots="1")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    assert process.stop() == 0

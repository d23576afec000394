"""Sessions and batches of a stock client, unmodified, on a device of a whole service."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devices import DRILL, NAME, Books
from tests.support.environments import environment, output, today
from tests.support.systems import embedded_system

SCRIPT = Path(__file__).with_name("stock_holding.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


@pytest.fixture
def url(books: Books, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DRILL", books.spec().variables["DRILL"])
    system = embedded_system(books.folder / "service", backends=f"{NAME}={DRILL}?env=DRILL")
    asyncio.run(system.start())
    yield system.urls[0]
    system.stop()


def test_a_session_holds_the_device_and_a_batch_keeps_its_jobs_together(
    url: str, books: Books
) -> None:
    python = environment("runtime", "qiskit-ibm-runtime==0.51.0")
    found = json.loads(output(python, SCRIPT, NAME, str(books.maintenance), **today(url)))

    assert found["held"] == {"waits": "QUEUED", "order": ["first", "second", "outside"]}
    assert found["together"] == ["before", "one", "two", "three", "between"]

"""A website that points its own name at a gateway on the reader's machine, in a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Browser, browser, missing
from tests.support.gateway import Running, running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ASK = """
const asked = {seen: {}};
window.asked = asked;
const said = (name, promise) => promise.then(
    (answer) => { asked.seen[name] = answer.status; }, () => { asked.seen[name] = "failed"; });
said("list", fetch("/jobs"));
said("submit", fetch("/jobs", {method: "POST", body: '{"program_id": "hello-world"}'}));
const stream = new EventSource("/events?after=start");
stream.onopen = () => { asked.seen.stream = 200; stream.close(); };
stream.onerror = () => { asked.seen.stream = "failed"; stream.close(); };
"""
SEEN = "return Object.keys(window.asked.seen).length === 3 ? window.asked.seen : null"


@pytest.fixture
async def window(tmp_path: Path) -> AsyncIterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    rebound = "--host-resolver-rules=MAP *.evil.example 127.0.0.1"
    async with browser(tmp_path / "profile", rebound) as opened:
        yield opened


async def _asked(window: Browser, served: Running, name: str) -> dict[str, Any]:
    await window.open(f"http://{name}:{urlsplit(served.url).port}/live")
    await window.run(ASK)
    return dict(await window.until(SEEN))


async def test_a_website_that_points_its_name_here_learns_and_changes_nothing(
    window: Browser,
) -> None:
    async with running(brokered=True) as served:
        foreign = await _asked(window, served, "www.evil.example")
        count = (await served.get("/jobs"))["count"]
        own = await _asked(window, served, "qjb.localhost")
    async with running(brokered=True, hosts=("*",)) as served:  # what would happen without
        open_to_all = await _asked(window, served, "www.evil.example")

    assert foreign == {"list": 421, "submit": 421, "stream": "failed"}
    assert count == 0
    assert own == open_to_all == {"list": 200, "submit": 200, "stream": 200}

"""A real browser's EventSource, and the web page in it."""

from pathlib import Path

import pytest

from tests.support import browser as browsers
from tests.support.gateway import eventually, running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browsers.missing() is not None, reason=str(browsers.missing())),
]

FOLLOW = """
window.seen = []; window.opens = 0;
const source = new EventSource(arguments[0] || "/jobs/j1/events");
window.source = source;
source.onopen = () => { window.opens += 1; };
for (const kind of ["queued", "dispatched", "started", "interim", "completed", "gap", "end"])
  source.addEventListener(kind, (event) => window.seen.push([kind, event.lastEventId]));
"""


async def test_an_event_source_follows_a_job_through_cuts_and_stops_at_its_end(
    tmp_path: Path,
) -> None:
    async with running(stream_age=1.0) as served, browsers.browser(tmp_path) as browser:
        ledger = served.ledger
        await ledger.queue("j1")
        await browser.open(served.url + "/live")
        await browser.run(FOLLOW)
        await browser.until("return window.seen.length === 1")
        await ledger.start("j1")
        for number in range(3):
            await ledger.interim("j1", {"iteration": number})
        # The stream grows old and is closed; the browser comes back by itself, with the last id.
        await browser.until("return window.opens >= 2")
        await ledger.complete("j1")
        await browser.until("return window.seen.some(([kind]) => kind === 'end')")
        # It reconnects once more, is told that nothing follows, and stops.
        await browser.until("return window.source.readyState === EventSource.CLOSED")
        seen = await browser.run("return window.seen")
        await eventually(lambda: len(served.gateway._parts.streams) == 0)

    kinds = ["queued", "dispatched", "started", "interim", "interim", "interim", "completed"]
    assert [kind for kind, _ in seen] == [*kinds, "end"]
    assert [ident for _, ident in seen] == ["1", "2", "3", "4", "5", "6", "7", "7"]


async def test_an_event_source_comes_back_to_a_gateway_that_lags_until_it_does_not(
    tmp_path: Path,
) -> None:
    async with running(patience=0.05) as served, browsers.browser(tmp_path) as browser:
        await served.ledger.queue("j1")
        await browser.open(served.url + "/live")
        await browser.run(FOLLOW.replace("/events", "/events?last_event_id=3"))
        await browser.until("return window.opens >= 1")
        await served.ledger.start("j1")
        await served.ledger.complete("j1")
        await browser.until("return window.seen.some(([kind]) => kind === 'end')")
        seen = await browser.run("return window.seen")

    assert seen == [["completed", "4"], ["end", "4"]]


async def test_the_page_shows_a_job_live_and_its_counts(tmp_path: Path) -> None:
    async with running(brokered=True) as served, browsers.browser(tmp_path) as browser:
        await served.ledger.fleet()
        await browser.open(served.url + "/")
        await browser.until("return document.querySelector('#health').textContent === '1 worker'")
        await browser.run("document.querySelector('#form').requestSubmit()")
        job_id = await browser.until("return location.hash.slice(1)")
        await browser.until("return document.querySelector('#state').textContent === 'queued'")
        await served.ledger.start(job_id)
        await browser.until("return document.querySelector('#state').textContent === 'running'")
        await served.ledger.complete(job_id, {"raw_counts": [{"00": 510, "11": 514}]})
        await browser.until("return document.querySelectorAll('.bar').length === 2")
        bars = await browser.run("return document.querySelector('#bars').innerText")
        events = await browser.run("return document.querySelectorAll('#events li').length")
        listed = await browser.until(
            "return document.querySelector('#jobs .badge.completed')?.textContent"
        )

    assert "514" in bars
    assert events == 4
    assert listed == "completed"


async def test_the_page_says_what_is_wrong_and_cancels(tmp_path: Path) -> None:
    async with running(brokered=True) as served, browsers.browser(tmp_path) as browser:
        await browser.open(served.url + "/")
        await browser.run("""
            document.querySelector('#shots').value = '-3';
            document.querySelector('#form').noValidate = true;
            document.querySelector('#form').requestSubmit();
        """)
        refused = await browser.until("return document.querySelector('#refused').textContent")
        job_id = (await served.post("/jobs", {"program_id": "hello-world"}))["id"]
        await browser.run(f"select('{job_id}')")
        await browser.until("return !document.querySelector('#cancel').hidden")
        await browser.run("document.querySelector('#cancel').click()")
        await browser.until("return document.querySelector('#state').textContent === 'cancelled'")

    assert "/params/run_config/shots" in refused


async def test_the_documentation_page_shows_every_route(tmp_path: Path) -> None:
    async with running() as served, browsers.browser(tmp_path) as browser:
        await browser.open(served.url + "/docs")
        await browser.until("return document.querySelectorAll('.opblock').length >= 20")
        errors = await browser.run("return document.querySelectorAll('.errors-wrapper').length")

    assert errors == 0

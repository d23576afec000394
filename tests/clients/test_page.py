"""The web page, as its users meet it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import browser as browsers
from tests.support import tls
from tests.support.gateway import Running, running
from tests.support.issuer import CLIENT, CLIENT_SECRET, both
from tests.support.tokens import say, token

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browsers.missing() is not None, reason=str(browsers.missing())),
]

LOG_IN = (
    "document.querySelector('#token').value = '{}';document.querySelector('#who').requestSubmit()"
)
STATE = "return document.querySelector('#state').textContent === '{}'"


@pytest.fixture
async def served() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


@pytest.fixture
async def page(served: Running, tmp_path: Path) -> AsyncIterator[browsers.Browser]:
    async with browsers.browser(tmp_path) as browser:
        await browser.open(served.url + "/")
        yield browser


async def test_of_many_outcomes_the_most_frequent_are_shown_with_their_share_of_all(
    served: Running, page: browsers.Browser
) -> None:
    counts = {f"{n:08b}": 1 for n in range(200)} | {"11111111": 200}
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    await served.ledger.complete("j1", {"raw_counts": [counts]})
    await page.run("location.hash = 'j1'")
    await page.until("return document.querySelectorAll('.bar').length === 64")
    text = await page.run("return document.querySelector('#bars').innerText")

    assert "200 (50.0 %)" in text
    assert "and 137 more outcomes" in text


async def test_the_counts_of_each_circuit_are_shown(
    served: Running, page: browsers.Browser
) -> None:
    results = [
        {"data": {"counts": {"0x2": 5}}, "header": {"memory_slots": 3}},
        {"data": {"counts": {"0x1": 7}}, "header": {"memory_slots": 2}},
    ]
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    await served.ledger.complete("j1", {"results": results})
    await page.run("location.hash = 'j1'")
    await page.until("return document.querySelectorAll('.bar').length === 2")
    text = await page.run("return document.querySelector('#bars').innerText")

    assert text.split() == [
        *("circuit", "0", "010", "5", "(100.0", "%)"),
        *("circuit", "1", "01", "7", "(100.0", "%)"),
    ]


async def test_of_many_events_the_newest_are_shown(served: Running, page: browsers.Browser) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    for number in range(600):
        await served.ledger.interim("j1", {"iteration": number})
    await served.ledger.complete("j1")
    await page.run("location.hash = 'j1'")
    await page.until(STATE.format("completed"))
    numbers = await page.until("""
        const shown = [...document.querySelectorAll('#events .n')].map((n) => Number(n.textContent));
        return shown.at(-1) === 604 && shown;
    """)

    assert numbers == list(range(105, 605))


async def test_of_many_jobs_the_newest_are_listed_in_their_order(
    served: Running, page: browsers.Browser
) -> None:
    ledger = served.ledger
    await ledger.tell(*[ledger.queue_entry(f"j{n:03}") for n in range(510)])  # many at a time
    await served.get("/jobs/j509")
    await page.run("location.reload()")
    listed = await page.until("""
        const shown = [...document.querySelectorAll('#jobs .id')].map((id) => id.textContent);
        return shown.length === 500 && shown;
    """)

    assert listed == [f"j{n:03}" for n in range(509, 9, -1)]


async def test_a_job_in_the_list_keeps_the_focus_while_others_come_and_change(
    served: Running, page: browsers.Browser
) -> None:
    await served.ledger.queue("j1")
    await page.until("return document.querySelector('#jobs button')")
    await page.run("document.querySelector('#jobs button').focus()")
    await served.ledger.queue("j2")
    await served.ledger.start("j1")
    await page.until("return document.querySelectorAll('#jobs button').length === 2")
    await page.until("return document.querySelector('#jobs .running')")

    assert await page.run("return document.activeElement.querySelector('.id')?.textContent") == "j1"


async def test_a_job_that_is_deleted_leaves_the_list(
    served: Running, page: browsers.Browser
) -> None:
    await served.ledger.whole("j1")
    await page.until("return document.querySelector('#jobs .completed')")
    await served.ledger.delete("j1")
    await served.ledger.queue("j2")
    await page.until("return document.querySelector('#jobs .queued')")

    await page.until("return document.querySelectorAll('#jobs button').length === 1")


async def test_an_address_with_a_job_shows_it_also_when_it_changes(
    served: Running, page: browsers.Browser
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.queue("j2")
    for job_id in ("j1", "j2", "j1"):
        await page.run(f"location.hash = '{job_id}'")
        await page.until(f"return document.querySelector('#id').textContent === '{job_id}'")
        await page.until(STATE.format("queued"))


async def test_a_job_that_there_is_not_is_said_to_be_none(page: browsers.Browser) -> None:
    await page.run("location.hash = 'nobody'")

    assert "no job nobody" in await page.until("return document.querySelector('#why').textContent")


async def test_where_the_page_is_narrow_it_turns_to_the_job_that_is_picked(
    served: Running, page: browsers.Browser
) -> None:
    await page._command("POST", "window/rect", {"width": 600, "height": 500})
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    await served.ledger.complete("j1", {"raw_counts": [{f"{n:05b}": n for n in range(32)}]})
    await page.until("return document.querySelector('#jobs .completed')")
    await page.run("document.querySelector('#jobs button').click()")
    await page.until("return document.querySelectorAll('.bar').length === 32")

    await page.until(
        "return Math.abs(document.querySelector('#job').getBoundingClientRect().top) < 2"
    )


async def test_where_there_are_tokens_it_asks_for_one_and_then_shows_what_is_its_tenants(
    served: Running, page: browsers.Browser
) -> None:
    await _logs_in_and_out(served, page)


async def test_over_https_it_is_the_same(tmp_path: Path) -> None:
    trusted = f"--ignore-certificate-errors-spki-list={tls.pin(tls.files())}"
    async with (
        running(tls=tls.files(), trust=tls.trust()) as served,
        browsers.browser(tmp_path, trusted) as page,
    ):
        await page.open(served.url + "/")
        assert await page.run("return location.protocol") == "https:"
        await _logs_in_and_out(served, page)


async def _logs_in_and_out(served: Running, page: browsers.Browser) -> None:
    await say(served.ledger.log, token("alice"))
    await served.ledger.queue("j1")
    await page.open(served.url + "/#j1")
    await page.run("location.reload()")
    await page.until("return !document.querySelector('#login').hidden")
    await page.run(LOG_IN.format("eve"))
    await page.until("return document.querySelector('#unknown').textContent.includes('not known')")
    await page.run(LOG_IN.format("alice"))
    await page.until("return document.querySelector('#jobs').textContent.includes('j1')")
    await page.until(STATE.format("queued"))
    await served.ledger.start("j1")
    await page.until(STATE.format("running"))
    assert await page.run("return document.cookie") == ""
    await page.run("document.querySelector('#logout').click()")
    await page.until("return !document.querySelector('#login').hidden")
    assert "j1" not in await page.run("return document.querySelector('#jobs').textContent")


async def test_the_page_offers_to_log_in_with_the_issuer_and_shows_what_is_its_tenants(
    tmp_path: Path,
) -> None:
    client = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}
    async with both(**client) as (served, issuer), browsers.browser(tmp_path) as page:
        await served.ledger.queue("mine", tenant="chem")
        await served.ledger.queue("another", tenant="other")
        await page.open(served.url + "/")
        text = await page.until(
            "return !document.querySelector('#ways').hidden && document.querySelector('#issuer').text"
        )
        await page.run("document.querySelector('#issuer').click()")
        await page.until("return document.querySelector('#jobs').textContent.includes('mine')")
        shown = await page.run("return document.querySelector('#jobs').textContent")
        assert await page.run("return document.cookie + location.search + document.referrer") == ""
        await page.run("document.querySelector('#logout').click()")
        await page.until("return !document.querySelector('#login').hidden")

    assert text == f"Log in with {issuer.url.removeprefix('http://')}"
    assert "another" not in shown

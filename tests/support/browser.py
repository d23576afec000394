"""A headless Chromium, driven over WebDriver's plain HTTP. Source: W3C WebDriver."""

import asyncio
import base64
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.awaiting import eventually

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,900",
)


def missing() -> str | None:
    """Why there is no browser here; None if there is one."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    return None


@dataclass
class Browser:
    """One window."""

    http: aiohttp.ClientSession
    session: str

    async def _command(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.session}/{path}"
        async with self.http.request(method, url, json=body) as response:
            value = (await response.json())["value"]
            assert response.status == 200, value
            return value

    async def open(self, url: str) -> None:
        """Load a page."""
        await self._command("POST", "url", {"url": url})

    async def run(self, script: str) -> Any:
        """What *script*, the body of a function, returns."""
        return await self._command("POST", "execute/sync", {"script": script, "args": []})

    async def until(self, script: str, seconds: float = 20) -> Any:
        """What *script* returns, as soon as that is true."""
        return await eventually(lambda: self.run(script), within=seconds)

    async def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(await self._command("GET", "screenshot"))


@contextlib.asynccontextmanager
async def browser(profile: Path, *arguments: str) -> AsyncIterator[Browser]:
    """A browser of the test's own, with those *arguments* besides the usual ones."""
    driver = await asyncio.create_subprocess_exec(
        "chromedriver", "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        port = await asyncio.wait_for(_port(driver), 20)
        async with aiohttp.ClientSession() as http:
            options = {"args": [*ARGUMENTS, *arguments, f"--user-data-dir={profile}"]}
            wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
            url = f"http://127.0.0.1:{port}/session"
            async with http.post(url, json={"capabilities": wanted}) as response:
                value = (await response.json())["value"]
                assert response.status == 200, value
            session = f"{url}/{value['sessionId']}"
            try:
                yield Browser(http, session)
            finally:
                async with http.delete(session):
                    pass
    finally:
        driver.terminate()
        await driver.wait()
        driver._transport.close()  # type: ignore[attr-defined]  # else 3.11 warns of the pipe


async def _port(driver: asyncio.subprocess.Process) -> int:
    assert driver.stdout is not None
    while line := await driver.stdout.readline():
        if found := re.search(rb"started successfully on port (\d+)", line):
            return int(found[1])
    raise AssertionError("chromedriver has ended")

"""Whatever becomes of a local copy's file, each answer is right, or there is none until it is made anew."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.transports.memory import MemoryLog
from tests.support.awaiting import eventually
from tests.support.copies import check, following
from tests.support.gateway import Ledger

PAGE = 4096  # bytes
FILES = ("gateway.db", "gateway.db-wal")


@dataclass(frozen=True)
class Kept:
    """A ledger, and what a copy of it left on the disk: closed in good order, and killed."""

    ledger: Ledger
    closed: dict[str, bytes]
    killed: dict[str, bytes]


@cache
def kept() -> Kept:
    """Made once."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_keep(Path(folder)))


async def _keep(folder: Path) -> Kept:
    ledger = Ledger(MemoryLog(partitions=1))
    await _fill(ledger, 0)
    async with following(ledger.log, folder / FILES[0]) as copy:
        await copy.caught_up()
    closed = _files(folder)
    await _fill(ledger, 30)
    async with following(ledger.log, folder / FILES[0]) as copy:
        await copy.caught_up()
        for number in range(60, 70):
            await ledger.whole(f"j{number}")
            await copy.model.flush()
        killed = _files(folder)
    return Kept(ledger, closed, killed)


async def _fill(ledger: Ledger, start: int) -> None:
    for number in range(start, start + 30):
        size = (10, 300, 3000, 9000)[number % 4]  # rows of one page and of several
        await ledger.queue(f"j{number}", {"fill": "x" * size}, tags=(f"t{number % 3}",))
        if number % 3:
            await ledger.start(f"j{number}")
            await ledger.interim(f"j{number}", {"fill": "y" * size})
            await ledger.complete(f"j{number}", "z" * size)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


Damage = Callable[[bytearray], None]


def overwritten(place: float, new: bytes) -> Damage:
    def damage(content: bytearray) -> None:
        at = int(place * len(content))
        content[at : at + len(new)] = new[: len(content) - at]

    return damage


def page_overwritten(place: float, new: bytes) -> Damage:
    def damage(content: bytearray) -> None:
        at = int(place * len(content)) // PAGE * PAGE
        content[at : at + PAGE] = (new * PAGE)[: min(PAGE, len(content) - at)]

    return damage


def cut(place: float) -> Damage:
    def damage(content: bytearray) -> None:
        del content[int(place * len(content)) :]

    return damage


def moved(place: float, other: float, both: bool) -> Damage:
    def damage(content: bytearray) -> None:
        one, two = (int(at * (len(content) // PAGE)) * PAGE for at in (place, other))
        first, second = content[one : one + PAGE], content[two : two + PAGE]
        content[one : one + PAGE] = second
        if both:
            content[two : two + PAGE] = first

    return damage


places = st.floats(0, 1, exclude_max=True)
early = places.map(lambda place: place**6)  # where the header is, and the tables' roots
anywhere = places | early
bytes_of_any = st.binary(min_size=1, max_size=64)
disk = st.one_of(
    st.builds(overwritten, anywhere, bytes_of_any | st.integers(1, 3 * PAGE).map(bytes)),
    st.builds(page_overwritten, anywhere, bytes_of_any | st.just(b"\0")),
    st.builds(cut, anywhere),
)
at_rest = disk | st.builds(moved, anywhere, anywhere, st.booleans())
damages = st.lists(st.tuples(st.sampled_from(FILES), at_rest), min_size=1, max_size=3)
QUIET = list(HealthCheck)


def _damage(folder: Path, done: list[tuple[str, Damage]]) -> None:
    for name, damage in done:
        path = folder / name
        if path.exists() and (content := bytearray(path.read_bytes())):
            damage(content)
            with path.open("r+b") as file:
                file.write(content)
                file.truncate(len(content))


async def _serves(folder: Path, ledger: Ledger, meanwhile: list[tuple[str, Damage]]) -> None:
    async with following(ledger.log, folder / FILES[0]) as copy:
        await copy.caught_up()
        if meanwhile:
            await copy.model.flush()
            _damage(folder, meanwhile)
        await eventually(lambda: check(copy.model, ledger), within=30)


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=QUIET)
@given(st.sampled_from(("closed", "killed")), damages)
@example("closed", [(FILES[0], cut(0.0001))])
@example("closed", [(FILES[0], page_overwritten(0.0, b"\0"))])
def test_a_copy_with_any_bytes_anywhere_answers_right_or_is_made_anew(
    how: str, done: list[tuple[str, Damage]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in getattr(kept(), how).items():
            (Path(folder) / name).write_bytes(content)
        _damage(Path(folder), done)
        asyncio.run(_serves(Path(folder), kept().ledger, []))


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=QUIET)
@given(st.lists(st.tuples(st.sampled_from(FILES), disk), min_size=1, max_size=3))
@example([(FILES[1], overwritten(0.5, b" "))])  # in a page that only the write-ahead log has
def test_a_copy_that_is_damaged_while_it_is_used_answers_right_or_is_made_anew(
    meanwhile: list[tuple[str, Damage]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in kept().closed.items():
            (Path(folder) / name).write_bytes(content)
        asyncio.run(_serves(Path(folder), kept().ledger, meanwhile))

"""A child that was killed, and whether it was for want of memory."""

import os
import signal
from pathlib import Path

import pytest

from executors.base import Stop
from executors.children.frames import ChildKind
from executors.children.kills import Kills
from executors.children.pool import Pool
from executors.children.run import Run
from schemas.reports import Body
from tests.support.executing import kind, task
from tests.support.programs import PROGRAMS

MEMORY = 1024**3


def kernel_has_killed(count: int, root: Path) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/vmstat").write_text(f"pgfault 12\noom_kill {count}\n")


def test_a_kill_from_before_the_beginning_is_that_of_another(tmp_path: Path) -> None:
    kernel_has_killed(1, tmp_path)
    kills = Kills(tmp_path, again_after=1.0)
    kernel_has_killed(3, tmp_path)
    before = kills.before(now=10.0)

    assert not kills.one_since(before)


def test_each_kill_is_that_of_one_child(tmp_path: Path) -> None:
    kills = Kills(tmp_path, again_after=1.0)
    befores = [kills.before(now=10.0 + tenths / 10) for tenths in range(3)]
    kernel_has_killed(2, tmp_path)

    assert [kills.one_since(before) for before in befores] == [True, True, False]
    assert not kills.one_since(kills.before(now=10.5))


def test_a_number_is_looked_up_again_after_a_while(tmp_path: Path) -> None:
    kernel_has_killed(0, tmp_path)
    kills = Kills(tmp_path, again_after=1.0)
    kills.before(now=10.0)
    kernel_has_killed(4, tmp_path)

    assert [kills.before(now=10.9), kills.before(now=11.0)] == [0, 4]


async def begun(pool: Pool) -> tuple[int, Run]:
    """An attempt that hangs, and its process."""
    child = await pool.take(ChildKind.WARM, Stop())
    assert child is not None
    assert child.pid is not None
    run = Run(child, pool, task("hangs"), Stop(), decoding=30.0)
    assert kind(await run.next()) == "began"
    return child.pid, run


async def end_of(pid: int, run: Run) -> Body:
    os.kill(pid, signal.SIGKILL)
    return await run.next()


@pytest.mark.timeout(120)
async def test_children_killed_at_once_for_want_of_memory_are_told_so_and_a_later_one_is_not(
    tmp_path: Path,
) -> None:
    kernel_has_killed(1, tmp_path)
    kills = Kills(tmp_path, again_after=0.0)
    pool = Pool(2, PROGRAMS, MEMORY, lambda: None, 30.0, kills=kills)
    kernel_has_killed(2, tmp_path)  # somebody else
    try:
        await pool.start()
        by_hand = await end_of(*await begun(pool))
        both = [await begun(pool), await begun(pool)]
        kernel_has_killed(4, tmp_path)
        at_once = [await end_of(*each) for each in both]
        later = await end_of(*await begun(pool))
    finally:
        await pool.close()

    assert (kind(by_hand), by_hand.reason) == ("died", "child_died")  # type: ignore[union-attr]
    assert [(kind(end), end.reason) for end in at_once] == [  # type: ignore[union-attr]
        ("raised", "out_of_memory")
    ] * 2
    assert (kind(later), later.reason) == ("died", "child_died")  # type: ignore[union-attr]

"""What watches event loops finds what blocks them, whoever catches what."""

import asyncio
import os
import time
from typing import Any

from tests.support.watching import EXCUSED, ROOT, watching

OF_OURS = """
async def blocks():
    time.sleep(0)

async def does_not():
    await asyncio.to_thread(time.sleep, 0)
"""


def of_ours() -> Any:
    """The functions above, as if they stood in a file of ours."""
    names: dict[str, Any] = {"time": time, "asyncio": asyncio}
    exec(compile(OF_OURS, f"{ROOT}{os.sep}broker{os.sep}blocking.py", "exec"), names)
    return names


async def test_a_call_that_blocks_the_loop_is_found() -> None:
    with watching() as watch:
        await of_ours()["blocks"]()

    assert watch.found == {"broker/blocking.py:3 blocks calls time.sleep"}


async def test_what_blocks_in_a_thread_or_in_a_test_is_not() -> None:
    with watching() as watch:
        await of_ours()["does_not"]()
        time.sleep(0)  # noqa: ASYNC251 -- that is what is tested

    assert watch.found == set()


def test_what_is_excused_is_there() -> None:
    for file, name in EXCUSED:
        assert f"def {name.rpartition('.')[2]}(" in (ROOT / file).read_text()

"""Many deadlines, one timer."""

import asyncio
from collections.abc import Callable

from executors.deadlines import Deadlines


class Heard:
    """What was called back, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.any = asyncio.Event()

    def say(self, name: str) -> Callable[[], None]:
        """A callback that is heard as *name*."""

        def then() -> None:
            self.names.append(name)
            self.any.set()

        return then

    async def until(self, name: str) -> list[str]:
        """All that was heard, once *name* is among it."""
        async with asyncio.timeout(10):
            while name not in self.names:
                self.any.clear()
                await self.any.wait()
        return self.names


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_each_is_called_once_when_it_is_due() -> None:
    deadlines, heard = Deadlines(), Heard()
    deadlines.at(now() + 0.06, heard.say("last"))
    deadlines.at(now() + 0.02, heard.say("first"))
    deadlines.at(now() + 0.04, heard.say("second"))
    assert heard.names == []
    assert await heard.until("last") == ["first", "second", "last"]


async def test_one_is_not_called_before_it_is_due() -> None:
    deadlines, heard, due = Deadlines(), Heard(), now() + 0.05
    deadlines.at(now() + 0.01, heard.say("another"))
    deadlines.at(due, heard.say("this"))
    await heard.until("this")
    assert now() >= due


async def test_one_that_is_forgotten_is_not_called() -> None:
    deadlines, heard = Deadlines(), Heard()
    forgotten = heard.say("forgotten")
    deadlines.at(now() + 0.01, forgotten)
    deadlines.forget(forgotten)
    deadlines.forget(heard.say("never asked for"))
    deadlines.at(now() + 0.03, heard.say("another"))
    assert await heard.until("another") == ["another"]


async def test_one_that_is_moved_is_called_at_its_new_time_only() -> None:
    deadlines, heard = Deadlines(), Heard()
    moved = heard.say("moved")
    deadlines.at(now() + 0.01, moved)
    deadlines.at(now() + 0.05, moved)
    deadlines.at(now() + 0.03, heard.say("before"))
    assert await heard.until("moved") == ["before", "moved"]


async def test_what_is_called_may_forget_and_ask_for_others() -> None:
    deadlines, heard, due = Deadlines(), Heard(), now()
    victim, again = heard.say("victim"), heard.say("again")

    def first() -> None:
        deadlines.forget(victim)
        deadlines.at(now() + 0.01, again)

    deadlines.at(due, first)
    deadlines.at(due, victim)
    assert await heard.until("again") == ["again"]


async def test_an_error_in_one_does_not_keep_the_others_from_being_called() -> None:
    deadlines, heard, loop = Deadlines(), Heard(), asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def fails() -> None:
        raise ValueError("as said")

    deadlines.at(now(), fails)
    deadlines.at(now(), heard.say("beside"))
    deadlines.at(now() + 0.02, heard.say("later"))
    assert await heard.until("later") == ["beside", "later"]
    assert [str(error) for error in errors] == ["as said"]

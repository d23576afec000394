"""Programs that somebody brings, on every log."""

from broker.gateway.programs import Programs
from broker.library import Library
from broker.transports.blobs import open_blobs
from broker.transports.log import Log
from schemas.uploads import Upload
from tests.support.awaiting import eventually
from tests.support.broker import hello_world

CODE = b"def main(backend, user_messenger):\n    return 1\n"
BLOBS = open_blobs("memory:///")


async def test_what_was_brought_is_known_to_who_follows_and_to_who_comes_later(log: Log) -> None:
    library, follower = Library(log, [hello_world()]), Library(log, [hello_world()])
    programs = Programs(log, BLOBS, library)
    async with follower.in_use():
        first = (await programs.upload("default", Upload("p"), CODE)).program
        second = (await programs.update("default", first.id, Upload(), CODE + b"#")).program
        await eventually(
            lambda: getattr(follower.catalogue.get(first.id), "version", "") == second.version
        )
        gone = (await programs.upload("default", Upload("q"), CODE)).program
        await programs.delete("default", gone.id)
        later = Library(log, [hello_world()])
        await later.catch_up()
        await eventually(lambda: follower.catalogue.names() == later.catalogue.names())
    for each in (follower, later):
        assert each.catalogue.names() == ["hello-world", first.id]
        for pinned in (first, second, gone):
            known = each.catalogue.pinned(pinned.id, pinned.version)
            assert known is not None
            assert known.version == pinned.version

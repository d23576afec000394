"""Large bodies in a file."""

from pathlib import Path

import pytest

from broker.errors import InsufficientStorageError
from broker.gateway.api.spooling import AT_ONCE, Spool


def is_empty(folder: Path) -> bool:
    return not [*folder.iterdir()]


async def test_a_body_is_what_came_piece_by_piece_and_stays_readable(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    pieces = [b"a" * AT_ONCE, b"b" * (AT_ONCE // 3), b"c" * AT_ONCE, b"d"]
    for piece in pieces:
        await spool.add(piece)
    body = await spool.whole()
    spool.close()

    assert bytes(body) == b"".join(pieces)
    assert is_empty(tmp_path)  # nothing is left behind, whatever ends the process


async def test_a_body_that_finds_no_room_is_an_error_of_storage(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "gone")

    with pytest.raises(InsufficientStorageError, match="No such file"):
        await spool.add(b"a" * AT_ONCE)

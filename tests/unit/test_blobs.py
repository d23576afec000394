"""The blob store: what is put can be got, checked, by everybody who knows its hash."""

import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.errors import PayloadMissingError, SettingsError, UnavailableError
from broker.transports.blobs import PIECE, StoredBlobs, open_blobs
from schemas.values import BlobRef

DATA = b'{"circuits": "' + b"x" * 300_000 + b'"}'


def damage(folder: Path, data: bytes = DATA[:1000]) -> None:
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    file.write_bytes(data)


@pytest.fixture(params=["folder", "file url", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> StoredBlobs:
    urls = {"folder": f"{tmp_path}/b", "file url": f"file://{tmp_path}/b", "memory": "memory:///"}
    return open_blobs(urls[request.param])


@pytest.mark.slow
async def test_a_store_that_does_not_answer_is_told_without_its_url() -> None:
    with pytest.raises(UnavailableError) as caught:
        await open_blobs("http://me:secret@127.0.0.1:1/x?sig=secret").get(BlobRef("ab" * 32, 1))

    text = "".join(traceback.format_exception(caught.value))
    assert "the blob store can not be read: Generic HTTP error" in text
    assert "secret" not in text.replace("me:secret@127.0.0.1:1/x?sig=secret", "")
    assert "\n" not in caught.value.message


async def test_what_was_put_can_be_got(blobs: StoredBlobs) -> None:
    ref = await blobs.put(DATA, "application/x-qpy")

    assert ref.size == len(DATA)
    assert ref.media_type == "application/x-qpy"
    assert await blobs.get(ref) == DATA


async def test_the_same_data_is_stored_once(blobs: StoredBlobs) -> None:
    assert await blobs.put(DATA) == await blobs.put(DATA)
    assert await blobs.get(await blobs.put(DATA)) == DATA


async def test_an_empty_payload_is_kept_too(blobs: StoredBlobs) -> None:
    assert await blobs.get(await blobs.put(b"")) == b""


async def test_a_payload_that_nobody_put_is_missing(blobs: StoredBlobs) -> None:
    with pytest.raises(PayloadMissingError, match="not in the blob store"):
        await blobs.get(BlobRef("0" * 64, 3))


async def test_a_damaged_payload_is_noticed_and_mended_by_the_next_put(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    ref = await blobs.put(DATA)
    damage(tmp_path)

    with pytest.raises(PayloadMissingError, match="damaged"):
        await blobs.get(ref)
    await blobs.put(DATA)
    assert await blobs.get(ref) == DATA


async def test_a_folder_that_went_away_is_told_apart_from_a_missing_payload(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "b"))
    (tmp_path / "b").rmdir()
    (tmp_path / "b").write_text("in the way")

    with pytest.raises(UnavailableError):
        await blobs.put(DATA)


async def test_a_payload_is_read_piece_by_piece_and_in_part(blobs: StoredBlobs) -> None:
    ref = await blobs.put(DATA)
    pieces = [piece async for piece in blobs.stream(ref)]
    part = [piece async for piece in blobs.stream(ref, 5, 299_000)]
    none = [piece async for piece in blobs.stream(await blobs.put(b""))]

    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) == PIECE
    assert b"".join(part) == DATA[5:299_000]
    assert none == []


@pytest.mark.parametrize(
    "damaged", [DATA[:1000], DATA[:-1], DATA[:10] + b"!" + DATA[11:]], ids=["cut", "short", "bad"]
)
async def test_a_damaged_payload_is_never_read_to_its_end(tmp_path: Path, damaged: bytes) -> None:
    blobs = open_blobs(str(tmp_path))
    ref = await blobs.put(DATA)
    damage(tmp_path, damaged)

    pieces: list[bytes] = []
    with pytest.raises(PayloadMissingError, match="damaged"):
        await _read_into(pieces, blobs.stream(ref))
    assert len(b"".join(pieces)) < len(DATA)


async def _read_into(found: list[bytes], pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        found.append(piece)


async def test_a_payload_that_nobody_put_can_not_be_read_in_pieces(blobs: StoredBlobs) -> None:
    with pytest.raises(PayloadMissingError, match="not in the blob store"):
        await anext(blobs.stream(BlobRef("0" * 64, 3)))


async def test_data_put_by_one_is_there_for_another(tmp_path: Path) -> None:
    ref = await open_blobs(str(tmp_path)).put(DATA)

    assert await open_blobs(str(tmp_path)).get(ref) == DATA


@pytest.mark.parametrize("url", ["nonsense://x", "s4:///"])
def test_a_url_that_no_store_knows_is_named(url: str) -> None:
    with pytest.raises(SettingsError, match="QJB_BLOBS"):
        open_blobs(url)


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file"):
        open_blobs(str(tmp_path / "file" / "blobs"))

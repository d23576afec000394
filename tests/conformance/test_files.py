"""Files that are ours: closed to others, and nobody else's taken for one of them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from broker.errors import SettingsError
from broker.gateway.rows import Held
from broker.gateway.store import Store
from broker.settings.role import EVERYTHING
from broker.settings.settings import load
from broker.starting import started
from broker.transports import database, shelves
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.files import Mark, make_database, make_folder

MARK = Mark(0x1234, newest=3)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    """Everything from *folder* down that group or others may touch."""
    return [str(each) for each in (folder, *folder.rglob("*")) if rights(each) & 0o077]


# Rights


@pytest.mark.parametrize("before", [None, 0o755, 0o777])
async def test_what_a_process_keeps_is_for_its_owner_alone(
    before: int | None, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if before is not None:
        data.mkdir()
        data.chmod(before)
    mask = os.umask(0)
    try:
        settings = load({"data": data, "port": 0, "executor": "scripted"})
        async with started(settings, EVERYTHING):
            await open_blobs(str(data / "blobs")).put(b"a payload")
            assert (data / "log.db-wal").exists()
            assert open_to_others(data) == []
    finally:
        os.umask(mask)


async def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    for name in ("log.db", "log.db.lock"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o664)
    log = EmbeddedLog(path)
    await log.open()
    assert open_to_others(tmp_path) == []
    await log.close()


async def test_a_shared_folder_of_payloads_stays_shared(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "sha256").mkdir()
    (shared / "other").touch()
    shared.chmod(0o770)
    store = open_blobs(str(tmp_path / "shared"))
    shared.chmod(0o770)

    ref = await store.put(b"a payload")

    assert rights(shared / "sha256" / ref.sha256[:2] / ref.sha256[2:]) == 0o660


def test_a_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert rights(tmp_path) == 0o755


# Whose it is


def of_another_program(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.pragma("application_id", 7)


def without_a_mark(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE photos (x)")


def in_its_write_ahead_log(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("CREATE TABLE photos (x); INSERT INTO photos VALUES (1)")
    db.close()


def with_a_version_alone(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 1)


def newer(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.pragma("application_id", MARK.application)
        db.pragma("user_version", MARK.newest + 1)


def text(path: Path) -> None:
    path.write_text("this is no database " * 100)


def a_few_bytes(path: Path) -> None:
    path.write_bytes(b"x")


def cut_header(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


FOREIGN = [
    of_another_program,
    without_a_mark,
    in_its_write_ahead_log,
    with_a_version_alone,
    newer,
    text,
    a_few_bytes,
    cut_header,
]


@pytest.mark.parametrize("make", FOREIGN)
def test_a_file_that_is_not_ours_is_refused_by_name_and_left_as_it_is(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    make(path)
    before = path.read_bytes()

    with pytest.raises(SettingsError, match=rf"^QJB_LOG: {path} (is|has|can not be opened)"):
        make_database(path, MARK, "QJB_LOG")

    assert path.read_bytes() == before
    assert path.with_name("a.db-wal").exists() == (make is in_its_write_ahead_log)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    with pytest.raises(SettingsError, match=r"a\.db can not be opened: it is no file"):
        make_database(tmp_path / "a.db", MARK, "QJB_LOG")


@pytest.mark.parametrize("make", FOREIGN)
async def test_a_log_is_never_begun_in_a_file_that_is_not_ours(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "log.db")
    before = (tmp_path / "log.db").read_bytes()
    with pytest.raises(SettingsError, match=r"^QJB_LOG: .*log\.db"):
        await EmbeddedLog(tmp_path / "log.db").open()
    assert (tmp_path / "log.db").read_bytes() == before


@pytest.mark.parametrize("make", [of_another_program, without_a_mark, text])
def test_a_local_copy_never_takes_the_place_of_a_file_that_is_not_ours(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=r"^QJB_DATA: .*gateway\.db"):
        Store(path).open("a log")
    assert path.read_bytes() == before


def test_a_local_copy_that_was_made_before_they_were_marked_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE events (job, seq); CREATE INDEX events_of_job ON events(job, seq)")
    assert Store(path).open("a log") == Held()


def test_an_empty_file_and_one_of_ours_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    for _ in range(2):
        make_database(path, database.MARK, "QJB_LOG")
        db = database.connect(path)
        shelves.prepare(db)
        db.close()

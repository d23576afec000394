"""What is secret in a URL is in no message, however the URL is written."""

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from broker.cli.client import Client
from broker.settings.settings import load
from broker.shown import url_visible
from broker.transports.blobs import open_blobs
from broker.transports.urls import open_log

FIRST, SECOND = "hunterhunter", "swordfish"  # of a secret, with anything between them
ODD = st.sampled_from(["", "@", ":", "/", "?", "#", "%", "%zz", "%40", " ", ",", "[", "]", "=", "&", "ö", "\\", "\n", "\x1b", "//", "://"])  # fmt: skip
SECRET = st.builds(lambda odd: f"{FIRST}{odd}{SECOND}", ODD)
SCHEMES = ["kafka", "kafkas", "s3", "gs", "az", "https", "http", "ftp", "KAFKA", ""]
AFTER_SCHEME = ["://", ":/", ":", "//", "", "///", ":///"]
USERS = ["me:", ":", "a@b:", "me :", "me:x:"]
HOSTS = ["@host:9092", "@a:1,b:2", "@", "", "@host:port", "@host/path", "@[::1]:1", "@[::1", "@:0"]
QUERIES = ["?token=", "?sig=", "?a=b&access_key=", "?", "#", "/?x=1#", "?mechanism=PLAIN&password=", "?mechanism=OAUTHBEARER&token_url=https://x/", "?mechanism=OAUTHBEARER&token_url=https://x&scope=", "?token_url=http://me:"]  # fmt: skip


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


of = st.sampled_from
URLS = st.one_of(
    joined(of(SCHEMES), of(AFTER_SCHEME), of(USERS), SECRET, of(HOSTS)),
    joined(of(SCHEMES), of(AFTER_SCHEME), of(["host:9092", "bucket/x", ""]), of(QUERIES), SECRET),
    joined(of(["kafka", "s3"]), of(AFTER_SCHEME), of(["h:1,", "me:x@h,"]), of(USERS), SECRET, of(HOSTS)),
)  # fmt: skip


async def of_a_client(url: str) -> None:
    client = Client(url)
    try:
        raise client._missing()
    finally:
        await client.__aexit__(None, None, None)


def told(act: Callable[[str], object], url: str) -> str:
    """What *act* says when it is given *url*: its value, or its error with all that led to it."""
    try:
        return repr(act(url))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is not to tell)
        return "".join(traceback.format_exception(error))


def names_its_host(url: str) -> bool:
    """Whether part of the secret stands where a host does: then it is one, for everybody."""
    return f"@{SECOND}" in url and url.endswith(SECOND)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(url=URLS)
@example(url=f"kafka://me:{FIRST}@{SECOND}@host")
@example(url=f"kafka:/me:{FIRST}@h")
@example(url=f"kafka://me:{FIRST}")
@example(url=f"s3://me:{FIRST}@")
@example(url=f"//me:{FIRST}@host/bucket")
def test_no_message_has_a_part_of_a_secret_in_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assume(not names_its_host(url))
    monkeypatch.chdir(tmp_path)
    said = url_visible(url)
    for field in ("log", "blobs"):
        said += told(lambda url, field=field: load({field: url}), url)  # type: ignore[misc]
    said += told(open_log, url)
    if "://" in url or url.startswith("//"):  # else it may be a folder, and would be made
        said += told(open_blobs, url)

    # What stands in the source of this test is in a traceback, too.
    assert FIRST not in said
    assert SECOND not in said


@settings(max_examples=200)
@given(url=URLS)
def test_no_message_of_a_client_has_a_part_of_a_secret_in_it(url: str) -> None:
    assume(not names_its_host(url))
    said = told(lambda url: asyncio.run(of_a_client(url)), url)

    assert FIRST not in said
    assert SECOND not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("kafka://host:9092", "kafka://host:9092"),
        ("kafka://me:secret@host:9092,b:1", "kafka://***@host:9092,b:1"),
        ("kafkas://me:secret@host?mechanism=PLAIN", "kafkas://***@host?***"),
        ("kafka://me:se@cret@host", "kafka://***"),
        ("kafka://me:se?cret@host", "kafka://***"),
        ("kafka://me:secret", "kafka://***"),
        ("kafka:/me:secret@host", "kafka:***"),
        ("sqlite:////data/log.db", "sqlite:////data/log.db"),
        ("sqlite:////home/me@work/a b.db", "sqlite:////home/me@work/a b.db"),
        ("sqlite:///x.db?key=secret", "sqlite:///x.db?***"),
        ("sqlite:///me:secret@host", "sqlite://***"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("https://x.example/c?sig=secret", "https://x.example/c?***"),
        ("/data/blobs", "/data/blobs"),
        ("/home/me@work/blobs", "/home/me@work/blobs"),
        ("//me:secret@host", "***"),
        ("me:secret@host", "***@host"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("nonsense", "nonsense"),
        ("postgres://x", "postgres://x"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert url_visible(url) == shown


def test_the_default_places_are_shown_whatever_the_data_folder_is_called() -> None:
    for name in ("plain", "a folder", "größe"):
        found = load({"data": Path(f"/data/{name}")}).storage
        assert url_visible(found.blobs) == found.blobs
        assert url_visible(found.log) == found.log

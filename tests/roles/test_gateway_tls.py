"""https: certificates that change, and clients that never come to the point."""

import asyncio
import contextlib
import json
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from broker.errors import SettingsError
from broker.gateway.api.connections import SEEN_OUT
from broker.gateway.certificates import Certificate, TlsFiles
from tests.roles.test_gateway_http import asking
from tests.support import tls
from tests.support.awaiting import eventually, stays
from tests.support.gateway import Running, running, stream

OVER_TLS = {"tls": tls.files(), "trust": tls.trust()}


async def _tcp(served: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(served.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def _is_closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
    return True


async def test_a_large_answer_comes_whole_and_a_connection_is_used_again() -> None:
    async with running(brokered=True, **OVER_TLS) as served:
        body = {"program_id": "hello-world", "params": {"iterations": 1, "fill": "x" * 900_000}}
        job_id = (await served.post("/jobs", body))["id"]
        for _ in range(2):
            assert (await served.get(f"/jobs/{job_id}"))["params"] == body["params"]

    assert served.url.startswith("https://127.0.0.1:")


async def test_old_tls_and_who_speaks_http_are_told_so() -> None:
    async with running(**OVER_TLS) as served:
        old = tls.trust()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served.http.get(f"{served.url}/live", ssl=old)
        reader, writer = await _tcp(served)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = await reader.read()
        writer.close()

    assert said.startswith(b"HTTP/1.1 400 ")
    assert "https://" in json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"]


async def test_who_never_shakes_hands_is_not_waited_for() -> None:
    async with running(head=0.3, **OVER_TLS) as served:
        silent, slow = await _tcp(served), await _tcp(served)
        slow[1].write(b"\x16\x03\x01\x02\x00\x01")  # how a handshake begins
        assert await _is_closed(silent[0])
        assert await _is_closed(slow[0])
        assert (await served.get("/live"))["status"] == "live"
        for _, writer in (silent, slow):
            writer.close()


async def test_who_shakes_no_hands_makes_way_for_who_does() -> None:
    async with running(connections=16, head=600, **OVER_TLS) as served:
        silent = [await _tcp(served) for _ in range(40)]
        await served.ledger.queue("j1")
        async with stream(served, "/jobs/j1/events") as sse:
            more = [await _tcp(served) for _ in range(40)]
            assert (await served.get("/jobs/j1"))["id"] == "j1"
            await served.ledger.start("j1")
            assert [(await sse.next())[0] for _ in range(3)] == ["", "queued", "dispatched"]
        for _, writer in silent + more:
            writer.close()


async def test_where_no_place_is_left_a_few_at_a_time_are_told_so_once_hands_are_shaken() -> None:
    async with running(connections=16, head=600, **OVER_TLS) as served:
        await served.ledger.queue("j1")
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(14):
                await streams.enter_async_context(stream(served, "/jobs/j1/events"))
            async with asking(served, 2):
                assert await _refused(served) == (503, "unavailable")
                silent = [await _tcp(served) for _ in range(SEEN_OUT)]
                more = await _tcp(served)
                assert await _is_closed(more[0])
                silent.pop()[1].close()
                assert await eventually(lambda: _refused(served)) == (503, "unavailable")
        for _, writer in [*silent, more]:
            writer.close()


async def _refused(served: Running) -> tuple[int, str] | None:
    """With which status, and why, a new connection is turned away; None: without a word."""
    try:
        reader, writer = await served.connect()
    except (ConnectionError, ssl.SSLError):
        return None
    with contextlib.closing(writer):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


async def test_who_is_to_be_told_and_shakes_no_hands_is_not_waited_for() -> None:
    async with running(connections=16, head=1, **OVER_TLS) as served:
        await served.ledger.queue("j1")
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(14):
                await streams.enter_async_context(stream(served, "/jobs/j1/events"))
            async with asking(served, 2):
                reader, writer = await _tcp(served)
                assert await _is_closed(reader)
                writer.close()


async def test_noise_after_the_handshake_ends_only_its_connection() -> None:
    async with running(**OVER_TLS) as served:
        reader, writer = await served.connect()
        raw = writer.get_extra_info("socket")
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as same:
            same.send(b"\x17\x03\x03\x00\x20" + b"n" * 32)
        with contextlib.suppress(ssl.SSLError):
            assert await _is_closed(reader)
        writer.close()
        assert (await served.get("/live"))["status"] == "live"


def _shown(served: Running) -> bytes:
    """The certificate that a new connection is shown."""
    parts = urlsplit(served.url)
    with (
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), 10) as plain,
        tls.trust().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


async def test_a_certificate_that_changes_is_shown_to_new_connections(tmp_path: Path) -> None:
    files = tls.issue(tmp_path)
    certificate = Certificate(files)
    first = certificate.context
    watch = asyncio.create_task(certificate.watch(look=0.02))
    try:
        files.certificate.write_text("half of a")
        await stays(lambda: certificate.context is first, 0.1)
        tls.issue(tmp_path)
        await eventually(lambda: certificate.context is not first)
    finally:
        watch.cancel()


async def _shows_another(served: Running, certificate: bytes) -> bool:
    """Whether new connections are shown another one than *certificate*."""
    return await asyncio.to_thread(_shown, served) != certificate


async def test_open_connections_stay_when_the_certificate_changes(tmp_path: Path) -> None:
    files = tls.issue(tmp_path)
    async with running(tls=files, trust=tls.trust()) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        async with stream(served, "/jobs/j1/events") as sse:
            before = await asyncio.to_thread(_shown, served)
            tls.issue(tmp_path)
            await eventually(lambda: _shows_another(served, before))
            await served.ledger.complete("j1")
            assert [kind for kind, _, _ in await sse.rest()][-2:] == ["completed", "end"]


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("missing.pem", "key.pem", r"QJB_TLS_CERT: .*missing\.pem can not be read: no such file"),
        ("cert.pem", "missing.pem", r"QJB_TLS_KEY: .*missing\.pem can not be read: no such file"),
        ("key.pem", "key.pem", r"QJB_TLS_CERT: .*key\.pem has no certificate in PEM"),
        ("cert.pem", None, r"QJB_TLS_KEY: it names no file, and .*cert\.pem has no key"),
        ("cert.pem", "cert.pem", r"QJB_TLS_KEY: .*cert\.pem has no key in PEM"),
        ("cert.pem", "other.pem", r"QJB_TLS_KEY: the key in .*other\.pem is not that of the cert"),
        ("cert.pem", "closed.pem", r"QJB_TLS_KEY: the key in .*closed\.pem has a passphrase"),
        ("broken.pem", "key.pem", r"QJB_TLS_CERT: .*broken\.pem or its key can not be read"),
    ],
)
async def test_files_that_do_not_do_are_named_with_the_rule(
    tmp_path: Path, certificate: str, key: str | None, says: str
) -> None:
    tls.issue(tmp_path)
    other = tls.authority().issue_cert("localhost")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    subject = (tmp_path / "cert.pem").read_text()
    (tmp_path / "broken.pem").write_text(subject.replace(subject[40:80], "A" * 40))
    _encrypt(tmp_path / "key.pem", tmp_path / "closed.pem")
    wrong = TlsFiles(tmp_path / certificate, tmp_path / key if key else None)

    with pytest.raises(SettingsError, match=says):
        async with running(tls=wrong):
            pass


def _encrypt(key: Path, to: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    found = pem.load_pem_private_key(key.read_bytes(), None)
    closed = pem.BestAvailableEncryption(b"secret")
    to.write_bytes(found.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, closed))

"""HTTP itself: what clients, proxies and strangers do to a server, whatever they ask for."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
from aiohttp import web
from obstore.store import MemoryStore
from structlog.testing import capture_logs

from broker.gateway.api.bodies import BLOCK
from broker.gateway.api.connections import HEAD, UNTAKEN, Doors
from broker.gateway.metrics_port import serving_metrics
from broker.transports.blobs import StoredBlobs, open_blobs
from schemas.events import Completed, Interim, Log
from schemas.tenants import Quota
from schemas.values import BlobRef, JobKey
from tests.support.awaiting import eventually
from tests.support.gateway import Running, running, stream
from tests.support.tokens import say, tenant, token

LARGE = json.dumps([f'"é{number}' for number in range(100_000)], ensure_ascii=False).encode()

AS_IT_IS = {"Accept-Encoding": "identity"}
PACKED_IF_ASKED = ("/", "/openapi.json", "/docs/swagger-ui-bundle.js",
                   "/programs", "/programs/sampler", "/jobs", "/jobs/j1", "/jobs/j1/results",
                   "/jobs/j1/logs", "/jobs/j1/interim_results", "/metrics")  # fmt: skip


async def _job(served: Running, *, params: BlobRef | None = None, **end: Any) -> None:
    """A job that has ended, *j1*, as this gateway has seen it."""
    await served.ledger.queue("j1", params_ref=params)
    await served.ledger.start("j1")
    await served.ledger.append("j1", Completed, attempt=1, **end)
    await _until_ended(served)


async def _until_ended(served: Running) -> None:
    await served.get("/jobs/j1/events?wait=5&after=3", headers={"Accept": "application/json"})


# Large answers


async def test_inputs_and_results_by_reference_come_back_byte_for_byte() -> None:
    blobs = open_blobs("memory:///")
    ref = await blobs.put(LARGE)
    async with running(blobs=blobs) as served:
        await _job(
            served, params=await blobs.put(b'{"iterations": 1, "x": ' + LARGE + b"}"), value_ref=ref
        )
        job = await served.get("/jobs/j1")
        url = served.url + "/jobs/j1/results"
        async with served.http.get(url, headers=AS_IT_IS) as response:
            assert await response.read() == LARGE
            assert response.headers["Content-Length"] == str(len(LARGE))
            assert response.headers["ETag"] == f'"{ref.sha256}"'
            assert hashlib.sha256(LARGE).hexdigest() == ref.sha256

    assert job["params"] == {"iterations": 1, "x": json.loads(LARGE)}
    assert job["seq"] == 4


async def test_interim_results_by_reference_come_back_as_text() -> None:
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        for value in (LARGE, b"7", LARGE):
            await served.ledger.append("j1", Interim, attempt=1, value_ref=await blobs.put(value))
        await served.ledger.complete("j1")
        await served.get("/jobs/j1/events?wait=5&after=6", headers={"Accept": "application/json"})
        texts = await served.get("/jobs/j1/interim_results")

    assert texts == [LARGE.decode(), "7", LARGE.decode()]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=5-99", 5, 100), ("bytes=300000-600000", 300_000, 600_001),
     ("bytes=-7", -7, None), ("bytes=10-", 10, None), ("bytes=0-99999999999", 0, None)],
)  # fmt: skip
async def test_a_part_of_a_result_can_be_asked_for(
    asked: str, start: int, stop: int | None, inline: bool
) -> None:
    value = b'"%b"' % (b"0123456789" * 70_000)
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        end = {"value": msgspec.Raw(value)} if inline else {"value_ref": await blobs.put(value)}
        await _job(served, **end)
        async with served.http.get(
            served.url + "/jobs/j1/results", headers={"Range": asked}
        ) as response:
            assert response.status == 206
            assert await response.read() == value[start:stop]
            first = start % len(value)
            last = len(value) if stop is None else stop
            assert response.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(value)}"


async def test_ranges_that_are_none_or_of_something_else_are_answered_as_http_says() -> None:
    async with running() as served:
        await _job(served, value=msgspec.Raw(b'"0123456789"'))
        url = served.url + "/jobs/j1/results"
        for asked in ("bytes=5-2", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=-", "bytes"):
            async with served.http.get(url, headers={"Range": asked}) as response:
                assert (response.status, await response.read()) == (200, b'"0123456789"'), asked
        for asked in ("bytes=12-", "bytes=99-100", "bytes=-0"):
            async with served.http.get(url, headers={"Range": asked}) as response:
                assert response.status == 416
                assert response.headers["Content-Range"] == "bytes */12"
                assert (await response.json())["error"]["code"] == "range_not_satisfiable"
        async with served.http.get(url) as response:
            etag = response.headers["ETag"]
        for condition, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
            headers = {"Range": "bytes=0-1", "If-Range": condition}
            async with served.http.get(url, headers=headers) as response:
                assert response.status == status
        async with served.http.head(url, headers={"Range": "bytes=0-1"}) as response:
            assert (response.status, response.headers["Content-Length"]) == (200, "12")


class Decaying(StoredBlobs):
    """Payloads go bad under one's hands: each has one byte that is not what was put."""

    async def _piece(self, ref: BlobRef, start: int, stop: int) -> bytes:
        return b"!" + (await super()._piece(ref, start, stop))[1:]


async def test_a_damaged_payload_is_cut_off_rather_than_told() -> None:
    blobs = Decaying(MemoryStore())
    ref = await blobs.put(LARGE)
    async with running(blobs=blobs) as served:
        await _job(served, value_ref=ref)
        with pytest.raises(aiohttp.ClientPayloadError):
            await served.get("/jobs/j1/results")
        assert (await served.get("/live"))["status"] == "live"


async def test_a_payload_that_is_missing_is_an_error_with_a_status() -> None:
    async with running() as served:
        await _job(served, value_ref=BlobRef("0" * 64, 900_000))
        error = await served.get("/jobs/j1/results", 500)

    assert error["error"]["code"] == "payload_missing"


async def test_what_a_client_has_already_is_not_sent_again() -> None:
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        await _job(served, value_ref=await blobs.put(LARGE))
        for path in ("/jobs/j1", "/jobs/j1/results"):
            async with served.http.get(served.url + path, headers=AS_IT_IS) as response:
                etag = response.headers["ETag"]
            for known in (etag, f"W/{etag}", f'"a", {etag}', "*"):
                headers = {"If-None-Match": known}
                async with served.http.get(served.url + path, headers=headers) as response:
                    assert (response.status, await response.read()) == (304, b"")
                    assert response.headers["ETag"] == etag
            headers = {"If-None-Match": '"other"'}
            async with served.http.get(served.url + path, headers=headers) as response:
                assert response.status == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/jobs/j1/results", "/jobs/j1"])
async def test_that_a_client_has_an_answer_is_said_with_what_the_answer_depends_on(
    path: str,
) -> None:
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        await _job(served, value_ref=await blobs.put(LARGE))
        _, _, whole = await _asked(served, path, Accept_Encoding="gzip")
        known = whole["ETag"]
        status, _, told = await _asked(served, path, Accept_Encoding="gzip", If_None_Match=known)

    assert status == 304
    for name in ("Vary", "Cache-Control"):
        assert told.get(name) == whole.get(name)


async def test_a_list_in_a_header_may_stand_on_several_lines() -> None:
    async with running() as served:
        await _job(served)
        _, _, whole = await _asked(served, "/openapi.json")
        for path, name, values in (
            ("/openapi.json", "If-None-Match", ('"x"', whole["ETag"])),
            ("/openapi.json", "Accept-Encoding", ("br", "gzip")),
            ("/jobs/j1/events", "Accept", ("text/plain", "Application/JSON")),
        ):
            headers = [(name, value) for value in values]
            async with (
                aiohttp.ClientSession(skip_auto_headers=["Accept", "Accept-Encoding"]) as http,
                http.get(served.url + path, headers=headers) as answer,
            ):
                match name:
                    case "If-None-Match":
                        assert answer.status == 304
                    case "Accept-Encoding":
                        assert answer.headers["Content-Encoding"] == "gzip"
                    case _:
                        assert answer.content_type == "application/json"


# Packed answers


async def _asked(served: Running, path: str, **headers: str) -> tuple[int, bytes, Any]:
    """Status, bytes as they come, and headers of an answer."""
    name = {key.replace("_", "-"): value for key, value in headers.items()}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(served.url + path, headers=name) as response,
    ):
        return response.status, await response.read(), response.headers


async def _various(served: Running, blobs: StoredBlobs) -> None:
    """A job that answers at length whatever it is asked."""
    fill = "0123456789" * 1000
    params = await blobs.put(b'{"x": ' + LARGE + b"}")
    await served.ledger.queue("j1", params_ref=params)
    await served.ledger.start("j1")
    for _ in range(20):
        await served.ledger.interim("j1", fill)
        await served.ledger.append("j1", Log, attempt=1, message=fill)
    await served.ledger.append("j1", Completed, attempt=1, value_ref=await blobs.put(LARGE))
    await served.ledger.queue("j2", {"fill": fill})
    await eventually(lambda: served.gateway._parts.model.job(JobKey("default", "j2")))


async def test_long_answers_are_packed_for_clients_that_accept_it() -> None:
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        await _various(served, blobs)
        for path in PACKED_IF_ASKED:
            _, plain, as_it_is = await _asked(served, path, Accept_Encoding="identity")
            status, packed, headers = await _asked(served, path, Accept_Encoding="br, gzip;q=0.5")
            assert (status, headers.get("Content-Encoding")) == (200, "gzip"), path
            assert "Content-Encoding" not in as_it_is
            assert len(packed) < len(plain), path
            assert "Accept-Encoding" in headers["Vary"]
            assert "Accept-Encoding" in as_it_is["Vary"]
            if path != "/metrics":
                assert gzip.decompress(packed) == plain, path
            if etag := as_it_is.get("ETag"):
                assert headers["ETag"] == f"W/{etag}"
                again = await _asked(served, path, If_None_Match=headers["ETag"])
                assert again[:2] == (304, b"")


@pytest.mark.parametrize("accepted", ["identity", "", "gzip;q=0", "br", "*;q=0", "GZIP ; Q=0.0"])
async def test_nothing_is_packed_for_clients_that_do_not_accept_it(accepted: str) -> None:
    async with running() as served:
        _, _, headers = await _asked(served, "/openapi.json", Accept_Encoding=accepted)
        assert "Content-Encoding" not in headers
        _, _, headers = await _asked(served, "/live", Accept_Encoding="gzip")
        assert "Content-Encoding" not in headers  # it is short


async def test_streams_and_parts_are_never_packed() -> None:
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs) as served:
        await _various(served, blobs)
        for path, more in (
            ("/jobs/j1/events", {}),
            ("/jobs/j1/results", {"Range": "bytes=0-99999"}),
        ):
            status, body, headers = await _asked(served, path, Accept_Encoding="gzip", **more)
            assert "Content-Encoding" not in headers
            assert status == (206 if more else 200)
            assert len(body) >= 100_000


async def test_pages_that_do_not_change_are_not_sent_twice() -> None:
    async with running() as served:
        for path in ("/", "/docs", "/openapi.json", "/programs", "/programs/sampler"):
            _, _, headers = await _asked(served, path)
            assert headers["Cache-Control"] == "no-cache"
            status, body, _ = await _asked(served, path, If_None_Match=headers["ETag"])
            assert (status, body) == (304, b""), path
        for path in ("/live", "/ready", "/metrics"):
            _, _, headers = await _asked(served, path)
            assert headers["Cache-Control"] == "no-store"
            assert "ETag" not in headers


# What is no HTTP


async def _said(served: Running, data: bytes) -> tuple[int, dict[str, Any]]:
    """What is answered to those bytes: the status, and the JSON."""
    parts = urlsplit(served.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b"aiohttp" not in head
    return int(head.split(b" ")[1]), json.loads(body)


GET = b"GET /live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "invalid_request"),
        (b"nonsense\r\n\r\n", 400, "invalid_request"),
        (b"G\xffT / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_request"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "too_large"),
        (GET + b"X: " + b"b" * 9000 + b"\r\n\r\n", 431, "too_large"),
        (GET + b"".join(b"X%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431, "too_large"),
        (GET + b"X: \x01\r\n\r\n", 400, "invalid_request"),
        (GET + b"Content-Length: x\r\n\r\n", 400, "invalid_request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "invalid_request"),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400,
         "invalid_request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400, "invalid_request"),
        (b"GET http://[::1/jobs HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request"),
    ],
)  # fmt: skip
async def test_what_is_no_http_is_an_error_in_json(data: bytes, status: int, code: str) -> None:
    async with running() as served:
        got, said = await _said(served, data)

    assert got == status
    assert said["error"]["code"] == code
    assert "\n" not in said["error"]["message"]


async def test_a_later_http_is_refused_in_the_one_that_is_spoken() -> None:
    async with running() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /live HTTP/2.0\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 505 ")


# Bodies

HELLO = json.dumps({"program_id": "hello-world", "params": {"iterations": 1}}).encode()
RAW_DEFLATE = zlib.compressobj(wbits=-15)
PACKED = [
    ("gzip", gzip.compress(HELLO)),
    ("GZIP", gzip.compress(HELLO[:10]) + gzip.compress(HELLO[10:])),
    ("x-gzip", gzip.compress(HELLO)),
    ("deflate", zlib.compress(HELLO)),
    ("deflate", RAW_DEFLATE.compress(HELLO) + RAW_DEFLATE.flush()),
    ("identity", HELLO),
    ("", HELLO),
]
BLOCKS = HELLO.ljust(2 * BLOCK)  # a whole number of pieces that are unpacked at a time
PACKED += [
    ("gzip", gzip.compress(BLOCKS)),
    ("gzip", gzip.compress(BLOCKS, 0)),
    ("gzip", gzip.compress(BLOCKS[:BLOCK]) + gzip.compress(b"") + gzip.compress(BLOCKS[BLOCK:])),
    ("deflate", zlib.compress(BLOCKS)),
    ("deflate", zlib.compress(BLOCKS)[2:-4]),
]
NOT_PACKED = [
    ("gzip", HELLO, 400),
    ("gzip", gzip.compress(HELLO)[:-9], 400),
    ("gzip", gzip.compress(HELLO)[:12], 400),
    ("gzip", gzip.compress(HELLO) + b"more", 400),
    ("gzip", gzip.compress(BLOCKS)[:-1], 400),
    ("gzip", gzip.compress(BLOCKS) + b"more", 400),
    ("gzip", gzip.compress(b"") * 5000, 400),
    ("deflate", gzip.compress(HELLO), 400),
    ("deflate", zlib.compress(HELLO)[:-5], 400),
    ("deflate", zlib.compress(HELLO) * 2, 400),
    ("deflate", zlib.compress(BLOCKS) + b"x", 400),
    ("gzip", gzip.compress(b"x" * 50_000_000), 413),
    ("br", HELLO, 415),
    ("zstd", HELLO, 415),
    ("gzip, gzip", gzip.compress(gzip.compress(HELLO)), 415),
    ("nonsense", HELLO, 415),
]


@pytest.mark.parametrize(("encoding", "body"), PACKED)
async def test_bodies_are_unpacked(encoding: str, body: bytes) -> None:
    async with running(brokered=True) as served:
        headers = {"Content-Encoding": encoding}
        job_id = (await served.post("/jobs", body, headers=headers))["id"]
        assert (await served.get(f"/jobs/{job_id}"))["params"] == {"iterations": 1}


@pytest.mark.parametrize(("encoding", "body", "status"), NOT_PACKED)
async def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    encoding: str, body: bytes, status: int
) -> None:
    async with running(max_body=1_000_000) as served:
        for chunked in (False, True):
            data = _in_chunks(body) if chunked else body
            url, headers = served.url + "/jobs", {"Content-Encoding": encoding}
            async with served.http.post(url, data=data, headers=headers) as response:
                said = await response.json()
                assert response.status == status, said
                assert said["error"]["message"].startswith(("Content-Encoding", "the body is too"))
                if status == 415:
                    assert "gzip" in response.headers["Accept-Encoding"]


async def _in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


async def test_what_is_packed_to_the_limit_comes_out_whole() -> None:
    fill = {"iterations": 1, "fill": "\u00e9" * 400_000}
    body = json.dumps({"program_id": "hello-world", "params": fill}).encode()
    async with running(brokered=True) as served:
        headers = {"Content-Encoding": "gzip"}
        for level in (0, 9):
            packed = gzip.compress(body, level)
            data = io.BytesIO(packed)
            async with served.http.post(served.url + "/jobs", data=data, headers=headers) as answer:
                job_id = (await answer.json())["id"]
            assert (await served.get(f"/jobs/{job_id}"))["params"] == fill


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with running(block=0.3) as served:
        for said in (
            b"Content-Length: 9\r\n\r\n{",
            b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        ):
            got, answer = await _begun(served, POST + said)
            assert (got, answer["error"]["code"]) == (408, "too_slow")


async def test_a_body_that_is_broken_on_its_way_is_refused() -> None:
    async with running() as served:
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        got, answer = await _begun(served, head + b"1\r\n{\r\n", b"zz\r\n")

    assert (got, answer["error"]["code"]) == (400, "invalid_request")


async def test_an_instance_whose_name_is_no_text_is_told_as_far_as_it_is() -> None:
    head = b"GET /instances/usage HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    async with running() as served:
        got, said = await _said(served, head + b"Service-CRN: crn:\xff\r\n\r\n")

    assert (got, said["instance_id"]) == (200, "crn:\N{REPLACEMENT CHARACTER}")


async def _begun(served: Running, *data: bytes) -> tuple[int, dict[str, Any]]:
    """What is answered first to those bytes, sent one after the other."""
    parts = urlsplit(served.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for each in data:
        writer.write(each)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
        body = await reader.readexactly(length)
    writer.close()
    return int(head.split(b" ")[1]), json.loads(body)


async def test_large_bodies_at_once_wait_or_are_refused_before_they_fill_the_memory() -> None:
    async with running(brokered=True, max_body=1_000_000, block=1.0) as served:
        parts = urlsplit(served.url)
        begun = POST + b"Content-Length: 900000\r\n\r\n" + b" " * 70_000
        others = []
        for _ in range(2):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(begun)
            others.append(writer)
        room = served.gateway._parts.bodies._room
        await eventually(lambda: room.free < 900_000)
        large = {"program_id": "hello-world", "params": {"iterations": 1, "fill": "x" * 900_000}}
        packed = {"Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps(large).encode())
        error = await served.post("/jobs", body, 503, headers=packed)
        await served.post("/jobs", HELLO)
        waited = await served.post("/jobs", large)  # until those who do not go on are cut off
        for writer in others:
            writer.transport.abort()
        await eventually(lambda: room.free == 2_000_000)

    assert waited["id"]
    assert "too many large bodies" in error["error"]["message"]


@pytest.mark.parametrize(
    ("expected", "length", "status"),
    [(b"100-continue", 10, 100), (b"100-Continue", 2_000_000, 413), (b"magic", 10, 417)],
)
async def test_who_asks_before_it_sends_a_body_is_told(
    expected: bytes, length: int, status: int
) -> None:
    async with running(max_body=1_000_000) as served:
        parts = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(POST + b"Expect: %b\r\nContent-Length: %d\r\n\r\n" % (expected, length))
        first = await asyncio.wait_for(reader.readline(), 5)
        writer.close()

    assert first.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        (b"POST /jobs", b"Authorization: Bearer alice\r\nContent-Length: 60000\r\n", 413),
        (b"POST /jobs", b"Authorization: Bearer alice\r\nContent-Encoding: br\r\n", 415),
        (b"PUT /jobs/j1/tags", b"Authorization: Bearer alice\r\nContent-Length: 70000\r\n", 413),
        (b"POST /jobs", b"Authorization: Bearer nobody\r\n", 401),
        (b"POST /jobs", b"", 401),
        (b"PUT /jobs", b"", 405),
        (b"PUT /nothing", b"", 404),
    ],
)
async def test_nobody_is_told_to_send_a_body_that_is_refused_by_its_head(
    line: bytes, headers: bytes, status: int
) -> None:
    head = line + b" HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" + headers
    if b"Content-Length" not in headers:
        head += b"Content-Length: 9\r\n"
    async with running() as served:
        await say(served.ledger.log, tenant("default", quota=Quota(body=50_000)), token("alice"))
        reader, writer = await served.connect()
        writer.write(head + b"\r\n")
        async with asyncio.timeout(10):
            said = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in said  # what comes then may be the body, or a request


@pytest.mark.parametrize("extra", [b"", b"Transfer-Encoding: chunked\r\n"])
async def test_who_was_told_to_send_a_body_goes_on_on_its_connection(extra: bytes) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO), HELLO) if extra else HELLO
    length = extra or b"Content-Length: %d\r\n" % len(HELLO)
    async with running(brokered=True) as served:
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(POST + b"Expect: 100-continue\r\n" + length + b"\r\n")
            async with asyncio.timeout(10):
                told = await reader.readuntil(b"\r\n\r\n")
                writer.write(body)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0]))
            assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_body_of_tiny_chunks_leaves_others_their_turns() -> None:
    bodies: list[aiohttp.StreamReader] = []

    async def read(request: web.BaseRequest) -> web.Response:
        bodies.append(request.content)
        return web.Response(text=f"{len(await request.read())} bytes")

    doors = Doors(web.Server(read), 16, HEAD, UNTAKEN)
    reader, writer = await asyncio.open_connection("127.0.0.1", await doors.open("127.0.0.1", 0))
    tiny = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n"
    writer.write(POST + tiny + POST + b"Content-Length: 7\r\nConnection: close\r\n\r\n{'a':1}")
    parsed = [0]
    while not bodies or not bodies[0].is_eof():
        parsed += [body.total_bytes for body in bodies[:1]]
        await asyncio.sleep(0)
    answers = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    doors.close()

    assert re.findall(rb"\d+ bytes", answers) == [b"100000 bytes", b"7 bytes"]
    assert max(later - sooner for sooner, later in pairwise(parsed)) < 2000


# Names


async def test_requests_for_another_name_are_refused_whatever_they_ask_for() -> None:
    async with running() as served:
        evil = {"Host": f"evil.example:{urlsplit(served.url).port}"}
        for path in ("/", "/live", "/metrics", "/jobs", "/events", "/nowhere", "/docs"):
            async with served.http.get(served.url + path, headers=evil) as response:
                assert response.status == 421, path
                assert (await response.json())["error"]["code"] == "misdirected"
        posing = evil | {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
        error = await served.post("/jobs", {"program_id": "hello-world"}, 421, headers=posing)
        assert "QJB_HOSTS" in error["error"]["message"]
        proxied = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        await served.get("/live", headers=proxied)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /live HTTP/1.1\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost:\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: evil@localhost\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET http://evil.example/live HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET http://localhost/live HTTP/1.1\r\nHost: evil.example\r\n", 421),
        (b"GET http://localhost:1/live HTTP/1.1\r\nHost: localhost\r\n", 200),
        (b"GET http://[::1]/live HTTP/1.1\r\nHost: localhost\r\n", 200),
        (b"GET /live HTTP/1.0\r\n", 200),
        (b"GET /live HTTP/1.0\r\nHost: evil.example\r\n", 421),
    ],
)
async def test_it_takes_a_name_of_ours_in_every_form_that_a_request_has(
    head: bytes, status: int
) -> None:
    async with running() as served:
        got, _ = await _said(served, head + b"Connection: close\r\n\r\n")

    assert got == status


async def test_metrics_on_a_port_of_their_own_answer_to_their_names_only() -> None:
    async with serving_metrics("127.0.0.1", 0, ()) as port, aiohttp.ClientSession() as http:
        for path in ("/", "/metrics"):
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                assert "qjb_events" in await response.text()
        evil = {"Host": "evil.example"}
        async with http.get(f"http://127.0.0.1:{port}/metrics", headers=evil) as response:
            assert response.status == 421
        async with http.get(f"http://127.0.0.1:{port}/jobs") as response:
            assert response.status == 404


# Connections


async def test_a_request_whose_head_does_not_end_is_not_waited_for() -> None:
    async with running(head=0.3) as served:
        status, said = await _said(served, b"GET /live HTTP/1.1\r\nHost: ")

    assert (status, said["error"]["code"]) == (408, "too_slow")


async def test_where_no_place_is_left_those_who_ask_for_nothing_make_way() -> None:
    async with running(connections=16) as served:
        parts = urlsplit(served.url)
        silent = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(40)]
        await served.ledger.queue("j1")
        for _ in range(3):
            assert (await served.get("/jobs/j1"))["id"] == "j1"
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(14):
                sse = await streams.enter_async_context(stream(served, "/jobs/j1/events"))
            error = await served.get("/jobs/j1/events", 503)
            assert "too many event streams" in error["error"]["message"]
            assert (await served.get("/live"))["status"] == "live"
            async with asking(served, 2):
                status, said = await _said(served, GET + b"\r\n")
            assert (status, said["error"]["code"]) == (503, "unavailable")
            assert (await sse.next())[0] == ""
        assert await eventually(lambda: not len(served.gateway._parts.streams)) is True
        assert (await served.get("/live"))["status"] == "live"
        for _, writer in silent:
            writer.close()


@contextlib.asynccontextmanager
async def asking(served: Running, number: int) -> AsyncIterator[None]:
    """So many connections with a request that is being served: their long polls."""
    path = "/jobs/j1/events?wait=30&after=1"
    polls = [
        asyncio.create_task(served.get(path, headers={"Accept": "application/json"}))
        for _ in range(number)
    ]
    waiting = served.gateway._parts.waiters._waiting
    await eventually(lambda: sum(map(len, waiting.values())) == number)
    yield
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)


# What all answers have in common


async def test_a_slash_behind_a_path_changes_nothing() -> None:
    async with running(brokered=True) as served:
        job_id = (await served.post("/v1/jobs/", {"program_id": "hello-world"}))["id"]
        assert (await served.get(f"/jobs/{job_id}/"))["id"] == job_id
        for path in ("/jobs", "/programs", "/backends", "/live", "/openapi.json"):
            assert await served.get(path + "/") == await served.get(path)


async def test_answers_do_not_tell_what_made_them() -> None:
    async with running() as served:
        for path in ("/live", "/jobs", "/nowhere", "/"):
            async with served.http.get(served.url + path) as response:
                assert response.headers["Server"] == "qjb"


async def test_probes_and_scrapes_are_no_news() -> None:
    async with running() as served:
        with capture_logs() as lines:
            for path in ("/live", "/ready", "/metrics", "/live/", "/backends"):
                await served.get(path)

    told = {line["route"]: line["log_level"] for line in lines if line["event"] == "http.request"}
    assert told == {"/live": "debug", "/ready": "debug", "/metrics": "debug", "/backends": "info"}


@pytest.mark.parametrize("expect", [False, True])
async def test_a_body_that_is_too_large_is_refused_with_how_large_it_may_be(expect: bool) -> None:
    async with running(max_body=100_000) as served:
        url, body = f"{served.url}/jobs", io.BytesIO(b"x" * 100_001)
        async with served.http.post(url, data=body, expect100=expect) as answer:
            assert answer.status == 413
            assert "at most 100,000 bytes" in (await answer.json())["error"]["message"]

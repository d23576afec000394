"""The token with which Kafka is entered: asked for at a real endpoint, kept, replaced, and told of."""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from broker.transports.cluster import cluster_of
from broker.transports.kafka.oauth import UNTOLD, TokenError, Tokens
from tests.support import tls
from tests.support.token_issuer import TokenIssuer, giving_tokens

KEY = ECKey.generate_key("P-256", {"kid": "kafka"})
SECRET = "hunter2:%ö &+"


class Clock:
    """Stands until it is put forward."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[TokenIssuer]:
    issuer = TokenIssuer(KEY)
    issuer.clients["the client"] = SECRET
    async with giving_tokens(issuer):
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tokens(issuer: TokenIssuer, clock: Clock | None = None, *asked: str, **more: Any) -> Tokens:
    who = f"{quote('the client')}:{quote(SECRET, safe='')}"
    if any(each.startswith("password_file") for each in asked):
        who = quote("the client")
    query = "&".join(["mechanism=OAUTHBEARER", f"token_url={issuer.url}", *asked])
    cluster = cluster_of(f"kafkas://{who}@kafka:9092?{query}")
    assert cluster.grant is not None
    return Tokens(cluster, cluster.grant, clock=clock or Clock(), **more)


async def test_one_token_serves_many_until_most_of_its_life_is_over(
    issuer: TokenIssuer, clock: Clock
) -> None:
    kept = tokens(issuer, clock, "scope=kafka+write")
    first = await asyncio.gather(*(kept.token() for _ in range(20)))
    await kept.refresh()
    clock.now += 0.69 * issuer.lasts
    await kept.refresh()
    assert (len(set(first)), issuer.given) == (1, ["kafka write"])

    clock.now += 0.02 * issuer.lasts
    assert await kept.token() == first[0]  # nobody waits for the next one while it is good
    await asyncio.gather(*(kept.refresh() for _ in range(20)))
    assert await kept.token() != first[0]
    assert len(issuer.given) == 2


async def test_an_endpoint_that_is_away_harms_nobody_while_the_token_is_good(
    issuer: TokenIssuer, clock: Clock
) -> None:
    kept = tokens(issuer, clock, again=5.0)
    first = await kept.token()
    issuer.instead = lambda: web.Response(status=503)
    clock.now += 0.9 * issuer.lasts
    with capture_logs() as told:
        await kept.refresh()
        await kept.refresh()  # it was asked a moment ago
    assert await kept.token() == first
    assert [(line["event"], line["good"]) for line in told] == [("token.unavailable", True)]

    clock.now += 0.2 * issuer.lasts
    with pytest.raises(TokenError, match="answers 503"):
        await kept.refresh()
    issuer.instead = None
    with pytest.raises(TokenError, match="answers 503"):
        await kept.refresh()
    clock.now += 5.0
    assert await kept.token() != first


def text_of(text: str, **more: Any) -> Callable[[], web.Response]:
    return lambda: web.Response(text=text, content_type="application/json", **more)


@pytest.mark.parametrize(
    ("instead", "said", "lasting"),
    [
        (text_of("{}", status=500), "answers 500", False),
        (text_of("{}", status=429), "answers 429", False),
        (text_of("{}", status=404), "answers 404", True),
        (text_of('{"error": "invalid_scope"}', status=400), r"answers 400 \(invalid_scope\)", True),
        (text_of(f'{{"error": "{SECRET}"}}', status=400), "answers 400$", True),
        (text_of("", status=302, headers={"Location": "/elsewhere"}), "answers 302", False),
        (text_of("<html>"), "no object", False),
        (text_of("[" * 100_000), "no object", False),
        (text_of("[]"), "no object", False),
        (text_of(f'{{"access_token": "{"x" * 2_000_000}"}}'), "more than 1,048,576 bytes", False),
    ],
)
async def test_what_an_endpoint_answers_instead_of_a_token_is_told(
    issuer: TokenIssuer, instead: Callable[[], web.Response], said: str, lasting: bool
) -> None:
    issuer.instead = instead
    with pytest.raises(TokenError, match=said) as told:
        await tokens(issuer).refresh()

    assert told.value.lasting == lasting
    assert issuer.url in str(told.value)


@pytest.mark.parametrize(
    ("tells", "said"),
    [
        ({"access_token": None}, "no access_token"),
        ({"access_token": ""}, "no access_token"),
        ({"access_token": "a\x01auth=b"}, "no access_token"),
        ({"access_token": 7}, "no access_token"),
        ({"token_type": "mac"}, "token_type is not Bearer"),
        ({"expires_in": 0}, "expires_in is no number of seconds: '0'"),
        ({"expires_in": -5}, "expires_in is no number of seconds: '-5'"),
        ({"expires_in": "soon"}, "expires_in is no number of seconds: 'soon'"),
        ({"expires_in": True}, "expires_in is no number"),
        ({"expires_in": 1e300}, "expires_in is no number"),
        ({"expires_in": [600]}, "expires_in is no number"),
    ],
)
async def test_a_token_that_is_none_is_not_used(
    issuer: TokenIssuer, tells: dict[str, Any], said: str
) -> None:
    issuer.tells = tells
    with pytest.raises(TokenError, match=said):
        await tokens(issuer).refresh()


@pytest.mark.parametrize(("expires_in", "lasts"), [(None, UNTOLD), ("900", 900.0)])
async def test_for_how_long_a_token_is_good_may_be_told_in_letters_or_not_at_all(
    issuer: TokenIssuer, clock: Clock, expires_in: str | None, lasts: float
) -> None:
    issuer.tells = {"expires_in": expires_in}
    kept = tokens(issuer, clock)
    await kept.token()
    clock.now += lasts - 1
    await kept.token()
    assert len(issuer.given) == 1
    clock.now += 1
    await kept.token()
    assert len(issuer.given) == 2


async def test_nobody_waits_long_for_an_endpoint_that_hangs(issuer: TokenIssuer) -> None:
    issuer.slow = 30.0
    kept = tokens(issuer, within=0.1)
    for told in await asyncio.gather(*(kept.refresh() for _ in range(50)), return_exceptions=True):
        assert isinstance(told, TokenError)
        assert "does not answer within 0.1 s" in told.message
        assert not told.lasting


async def test_an_endpoint_that_is_not_there_is_named() -> None:
    issuer = TokenIssuer(KEY)
    async with giving_tokens(issuer):
        pass
    with pytest.raises(TokenError, match=r"Cannot connect to host 127\.0\.0\.1"):
        await tokens(issuer).refresh()


async def test_a_secret_is_read_from_its_file_each_time(
    issuer: TokenIssuer, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    kept = tokens(issuer, clock, f"password_file={file}", again=1.0)
    await kept.token()
    issuer.clients["the client"] = "another"
    clock.now += issuer.lasts
    with pytest.raises(TokenError, match=r"answers 401 \(invalid_client\)") as told:
        await kept.refresh()
    assert told.value.lasting

    file.unlink()
    clock.now += 1
    with pytest.raises(TokenError, match=f"password_file {file} can not be used: No such file"):
        await kept.refresh()
    file.write_text("another")
    clock.now += 1
    await kept.token()


async def test_neither_secret_nor_token_is_told(issuer: TokenIssuer) -> None:
    kept = tokens(issuer)
    with capture_logs() as told:
        token = await kept.token()
        issuer.clients.clear()
        wrong = tokens(issuer)
        with pytest.raises(TokenError) as error:
            await wrong.refresh()
    said = "".join(traceback.format_exception(error.value)) + repr((told, kept, wrong))

    assert "invalid_client" in said
    for secret in (SECRET, quote(SECRET, safe=""), token):
        assert secret not in said


async def test_an_endpoint_over_tls_is_trusted_as_ca_file_says(tmp_path: Path) -> None:
    issuer = TokenIssuer(KEY)
    issuer.clients["the client"] = SECRET
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tls.files().certificate, tls.files().key)
    tls.authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with giving_tokens(issuer, tls=served):
        with pytest.raises(TokenError, match="CERTIFICATE_VERIFY_FAILED") as told:
            await tokens(issuer).refresh()
        assert told.value.lasting
        await tokens(issuer, None, f"ca_file={tmp_path}/ca.pem").token()


async def test_what_kafka_is_told_beside_a_token_stands_in_the_url(issuer: TokenIssuer) -> None:
    kept = tokens(issuer, None, "extension_logicalCluster=lkc-1", "extension_pool=a+b")

    assert kept.extensions() == {"logicalCluster": "lkc-1", "pool": "a b"}

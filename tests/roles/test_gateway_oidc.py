"""JWTs of an OpenID Connect issuer: whose are good, for whom, and what becomes of it while it is away."""

import asyncio
import base64
import gc
import hmac
import math
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from broker.errors import SettingsError, UnauthorizedError, UnavailableError
from broker.gateway.oidc import LEEWAY, ONE_CHECKED, Issuer, Oidc
from schemas.tenants import Scope
from tests.support import tls
from tests.support.awaiting import eventually, steps
from tests.support.issuer import AUDIENCE, SECRET, TestIssuer, both, issuing
from tests.support.opened import opened
from tests.support.tokens import bearer, say, tenant, token

JOB = {"program_id": "hello-world", "params": {}, "job_id": "mine"}


async def test_a_jwt_says_for_which_tenant_it_asks_and_what_it_may_do() -> None:
    async with both() as (served, issuer):
        ada = bearer(issuer.token())
        await served.ledger.queue("mine", tenant="chem")
        await served.get("/jobs/mine", headers=ada)
        await served.get("/jobs/mine", 404, headers=bearer(issuer.token(tenant="other")))
        reads = bearer(issuer.token(scope="openid read email"))
        await served.get("/jobs/mine", headers=reads)
        told = await served.post("/jobs", JOB, 403, headers=reads)
        listed = bearer(issuer.token(scope=["read", "submit"], tenant="default"))
        await served.post("/jobs", JOB, headers=listed)
        usual = bearer(issuer.token(tenant="default", scope="openid profile"))
        await served.post("/jobs", JOB, headers=usual)
        await served.get("/jobs", 401)
        assert issuer.asked == 1

    assert "scope submit" in told["error"]["message"]


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": 10**400}, "not known"),
        ({"sub": None}, "sub"),
        ({"nbf": 2**40}, "not yet valid"),
        ({"tenant": None}, "no claim tenant"),
        ({"tenant": 7}, "no claim tenant"),
        ({"tenant": "nobody"}, "no tenant 'nobody'"),
        ({"tenant": "chém"}, "no tenant 'chém'"),
        ({"tenant": "\uff43hem"}, "no tenant"),
        ({"tenant": "chem\x00"}, "no tenant"),
        ({"tenant": ["chem"]}, "no claim tenant"),
        ({"aud": ["another", "more"]}, "aud"),
        ({"aud": [AUDIENCE, 7]}, "aud"),
        ({"aud": {AUDIENCE: True}}, "aud"),
        ({"exp": -1.5}, "expired"),
        ({"exp": True}, "exp"),
        ({"exp": "4102444800"}, "exp"),
        ({"exp": math.nan}, "not known"),
        ({"exp": math.inf}, "not known"),
        ({"sub": 7}, "sub"),
        ({"sub": "a" * 256}, "sub"),
        ({"nbf": "now"}, "nbf"),
        ({"iat": 2**40}, "future"),
        ({"iss": "http://elsewhere"}, "not known"),
    ],
)
async def test_a_jwt_that_is_not_for_us_is_refused(claims: dict[str, Any], told: str) -> None:
    async with both() as (served, issuer):
        said = await served.get("/jobs", 401, headers=bearer(issuer.token(**claims)))

    assert told in said["error"]["message"]


def keyed_with_the_public_key(issuer: TestIssuer) -> str:
    """A JWT whose signature everybody can make who takes the issuer's key for a shared one."""
    head = b'{"alg":"HS256","kid":"first"}'
    text = f"{encoded(head)}.{issuer.token().split('.')[1]}"
    public = issuer.keys[0].as_bytes("PEM", private=False)
    return f"{text}.{encoded(hmac.digest(public, text.encode(), 'sha256'))}"


def encoded(said: bytes) -> str:
    return base64.urlsafe_b64encode(said).decode().rstrip("=")


async def test_a_jwt_that_others_signed_is_refused() -> None:
    async with both() as (served, issuer):
        other = ECKey.generate_key("P-256", {"kid": "first"})
        await served.get("/jobs", 401, headers=bearer(issuer.token(key=other)))
        await served.get("/jobs", 401, headers=bearer(issuer.token(key=SECRET, alg="HS256")))
        await served.get("/jobs", 401, headers=bearer(keyed_with_the_public_key(issuer)))
        head, claims, _ = issuer.token().split(".")
        none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
        listed = "WyJhbGciXQ"  # ["alg"]
        forged_ones = [f"{start}.{claims}.{end}" for start in (none, head) for end in ("", "AAAA")]
        for forged in (*forged_ones, f"{listed}.{claims}.AAAA"):
            await served.get("/jobs", 401, headers=bearer(forged))


async def test_tokens_and_jwts_stand_beside_each_other_and_a_disabled_tenant_has_neither() -> None:
    async with both() as (served, issuer):
        log, ada = served.ledger.log, bearer(issuer.token())
        await say(log, token("alice", "chem"))
        await served.get("/jobs", headers=bearer("alice"))
        await served.get("/jobs", headers=ada)
        await say(log, tenant("chem", disabled=True))
        await served.get("/jobs", 401, headers=bearer("unknown"))  # by now the log has been read
        await served.get("/jobs", 401, headers=ada)


async def test_a_key_that_is_new_is_found_and_unknown_ones_are_not_looked_for_each_time() -> None:
    now = 0.0
    issuer = TestIssuer()
    async with issuing(issuer):
        known = Issuer(Oidc(issuer.url, AUDIENCE), lambda: now)
        await known.caller(issuer.token())
        issuer.rotate("second")
        with pytest.raises(UnauthorizedError):  # keys were looked for a moment ago
            await known.caller(issuer.token())
        now = 11.0
        assert (await known.caller(issuer.token())).tenant == "chem"
        for _ in range(5):
            with pytest.raises(UnauthorizedError):
                await known.caller(issuer.token(key=ECKey.generate_key("P-256", {"kid": "odd"})))
        assert issuer.asked == 2


async def test_an_issuer_that_is_away_keeps_out_nobody_whose_key_is_known() -> None:
    now = 0.0
    issuer = TestIssuer()
    async with issuing(issuer) as port:
        known, late = (Issuer(Oidc(issuer.url, AUDIENCE), lambda: now) for _ in range(2))
        await known.caller(issuer.token())
    now = 10_000.0
    assert (await known.caller(issuer.token())).tenant == "chem"
    with pytest.raises(UnavailableError):
        await late.caller(issuer.token())
    async with issuing(issuer, port):
        now = 20_000.0
        assert (await late.caller(issuer.token())).tenant == "chem"


@pytest.mark.parametrize(
    ("says", "padding"),
    [
        ({"issuer": "http://another"}, 0),
        ({"jwks_uri": "ELSEWHERE"}, 0),
        ({"jwks_uri": None}, 0),
        ({"jwks_uri": "file:///etc/passwd"}, 0),
        ({}, 2_000_000),
    ],
)
async def test_an_issuer_that_says_odd_things_is_not_believed(
    says: dict[str, Any], padding: int
) -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        elsewhere = f"{issuer.url}/elsewhere"
        issuer.says = {k: elsewhere if v == "ELSEWHERE" else v for k, v in says.items()}
        issuer.padding = padding
        with pytest.raises(UnavailableError):
            await Issuer(Oidc(issuer.url, AUDIENCE)).caller(issuer.token())


async def test_keys_come_in_pieces_and_odd_ones_among_them_are_passed_over() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        issuer.pieces, issuer.padding = 3, 300_000
        issuer.odd_keys = [
            1,
            {"kid": "first"},
            {"kty": "AKP"},
            {"kty": ["EC"]},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        ]
        await Issuer(Oidc(issuer.url, AUDIENCE)).caller(issuer.token())


@pytest.mark.parametrize("alg", ["RS256", "PS384", "EdDSA", "Ed25519"])
async def test_keys_of_other_kinds_are_known_too(alg: str) -> None:
    issuer, named = TestIssuer(), {"kid": "second"}
    is_rsa = alg.endswith(("256", "384"))
    second = RSAKey.generate_key(2048, named) if is_rsa else OKPKey.generate_key("Ed25519", named)
    async with issuing(issuer):
        issuer.keys.append(second)
        with warnings.catch_warnings():  # that the name EdDSA is old, at signing
            warnings.simplefilter("ignore", SecurityWarning)
            text = issuer.token(alg=alg)
        await Issuer(Oidc(issuer.url, AUDIENCE)).caller(text)


async def test_scopes_that_are_no_words_are_passed_over() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        text = issuer.token(scope=["read", {}, "write", 1])
        caller = await Issuer(Oidc(issuer.url, AUDIENCE)).caller(text)

    assert caller.scopes == {Scope.READ}


async def test_nothing_waits_for_an_issuer_when_the_gateway_ends() -> None:
    issuer = TestIssuer()
    issuer.slow = 3.0
    async with issuing(issuer):
        known = Issuer(Oidc(issuer.url, AUDIENCE))
        asking = asyncio.create_task(known.caller(issuer.token()))
        await eventually(lambda: issuer.described)
        await known.keys.close()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "issuer keys"]


async def test_a_jwt_ends_when_it_says() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        ends = int(time.time()) + 100
        caller = await Issuer(Oidc(issuer.url, AUDIENCE)).caller(issuer.token(exp=ends))

    assert caller.expires == ends
    assert not caller.may_refer


async def test_claims_may_be_many_and_ends_far_away() -> None:
    async with both() as (served, issuer):
        for claims in ({"exp": 1e300}, {"exp": time.time() + 60.5}, {"aud": ["other", AUDIENCE]}):
            await served.get("/jobs", headers=bearer(issuer.token(**claims)))


@pytest.mark.parametrize(
    "claims",
    [
        b"[" * 2500 + b"]" * 2500,
        b'{"iss":' * 500 + b"1" + b"}" * 500,
        b"[]",
        b"no JSON",
        b"\xff",
        b'{"iss": "ISSUER", "deep": ' + b"[" * 1020 + b"]" * 1020 + b"}",
        rb'{"iss": "ISSUER", "tenant": "\ud800"}',
        b'{"iss": "ISSUER", "exp": 1e999}',
    ],
    ids=["lists", "objects", "a list", "text", "bytes", "deep", "half of a pair", "for ever"],
)
async def test_claims_that_are_none_are_refused(claims: bytes) -> None:
    async with both() as (served, issuer):
        said = claims.replace(b"ISSUER", issuer.url.encode())
        await served.get("/jobs", 401, headers=bearer(issuer.signed(said)))


@pytest.mark.parametrize(("depth", "end"), [(300, b"]"), (700, b"]"), (1400, b"")])
async def test_headers_that_are_deep_are_refused(depth: int, end: bytes) -> None:
    async with both() as (served, issuer):
        deep = b'{"alg":"ES256","kid":"first","x":' + b"[" * depth + end * depth + b"}"
        text = f"{encoded(deep)}.{issuer.token().split('.', 1)[1]}"
        await served.get("/jobs", 401, headers=bearer(text))


async def test_an_issuer_at_https_is_known_by_its_authority_and_keeps_to_https() -> None:
    issuer = TestIssuer()
    with tls.authority().cert_pem.tempfile() as file:
        async with issuing(issuer, secure=True):
            oidc = Oidc(issuer.url, AUDIENCE, authority=Path(file))
            assert (await Issuer(oidc).caller(issuer.token())).tenant == "chem"
            with pytest.raises(UnavailableError):
                await Issuer(Oidc(issuer.url, AUDIENCE)).caller(issuer.token())
            for name in ("jwks_uri", "token_endpoint", "authorization_endpoint"):
                issuer.says = {name: issuer.url.replace("https", "http") + "/keys"}
                with capture_logs() as lines, pytest.raises(UnavailableError):
                    await Issuer(oidc).caller(issuer.token())
                assert f"its {name} is no https URL" in lines[0]["error"]


async def test_an_authority_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="QJB_OIDC_CA: /none can not be read: no such file"):
        Issuer(Oidc("https://any", AUDIENCE, authority=Path("/none")))


@pytest.mark.parametrize("packs", [True, False])
async def test_keys_without_end_are_read_no_further_than_keys_go(packs: bool) -> None:
    issuer = TestIssuer()
    issuer.padding, issuer.packs = 50_000_000, packs
    issuer.pieces = 1 if packs else 500
    async with issuing(issuer):
        with pytest.raises(UnavailableError):
            await Issuer(Oidc(issuer.url, AUDIENCE)).caller(issuer.token())
        assert issuer.sent < 10_000_000


async def test_a_flood_of_names_of_keys_is_one_question_and_delays_nobody_who_is_known() -> None:
    now = 0.0
    issuer = TestIssuer()
    odd = [ECKey.generate_key("P-256", {"kid": f"odd-{number}"}) for number in range(50)]
    async with issuing(issuer):
        known = Issuer(Oidc(issuer.url, AUDIENCE), lambda: now)
        good = issuer.token()
        await known.caller(good)
        now, issuer.slow = 20.0, 2.0
        flood = [asyncio.create_task(known.caller(issuer.token(key=key))) for key in odd]
        await steps()
        for text in (good, issuer.token(sub="grace")):
            assert (await known.caller(text)).tenant == "chem"
        assert not any(task.done() for task in flood)
        refused = await asyncio.gather(*flood, return_exceptions=True)
        assert {type(each) for each in refused} == {UnauthorizedError}
        assert issuer.asked == 2


async def test_a_jwt_that_was_good_ends_with_the_key_that_signed_it() -> None:
    now, gone = 0.0, []
    issuer = TestIssuer()
    async with issuing(issuer):
        known = Issuer(Oidc(issuer.url, AUDIENCE), lambda: now, lambda: gone.append(now))
        first = issuer.token()
        await known.caller(first)
        issuer.rotate("first")  # by the same name, another
        now = 3601.0
        await known.caller(first)  # nobody waits while keys are looked for anew
        await eventually(lambda: gone == [3601.0])
        with pytest.raises(UnauthorizedError, match="no more the key"):
            await known.caller(first)
        assert (await known.caller(issuer.token())).tenant == "chem"


async def test_a_jwt_that_was_good_ends_in_time() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        known = Issuer(Oidc(issuer.url, AUDIENCE))
        text = issuer.token(exp=int(time.time()) - LEEWAY + 2)
        await known.caller(text)
        assert "expired" in await refusal(known, text)


async def refusal(known: Issuer, text: str) -> str:
    """Why it is refused, once it is."""

    async def said() -> str:
        try:
            await known.caller(text)
        except UnauthorizedError as error:
            return error.message
        return ""

    return await eventually(said)


async def test_what_was_checked_is_kept_within_its_room() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        gc.collect()  # of issuers before
        before = held()
        known = Issuer(Oidc(issuer.url, AUDIENCE), memory=5 * (ONE_CHECKED + 20))
        for name in "abcdefgh":
            await known.caller(issuer.token(sub=name))
        assert held() - before == 5 * (ONE_CHECKED + len("chem") + len("oidc:a"))


def held() -> float:
    """Bytes of what is known of JWTs that were checked."""
    told = REGISTRY.get_sample_value("qjb_memory_held_bytes", {"holder": "checked_jwts"})
    return told or 0.0


STREAMS = ("/jobs/mine/events", "/events", "/stream/jobs/mine")


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_ends_with_the_key_that_signed_its_jwt(path: str) -> None:
    async with both(again=0.0) as (served, issuer):
        await served.ledger.queue("mine", tenant="chem")
        ada = bearer(issuer.token())
        async with opened(served, f"{served.url}{path}", ada) as ended, asyncio.timeout(20):
            issuer.rotate("second")
            grace = bearer(issuer.token())
            await served.get("/jobs", headers=grace)  # with whom the gateway hears of it
            assert "no more the key" in await ended()
            await served.get("/jobs", 401, headers=ada)
            await served.get("/jobs", headers=grace)


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_ends_when_its_jwt_does(path: str) -> None:
    async with both() as (served, issuer):
        await served.ledger.queue("mine", tenant="chem")
        ada = bearer(issuer.token(exp=time.time() + 1.5))
        await served.get("/jobs/mine", headers=ada)
        async with opened(served, f"{served.url}{path}", ada) as ended, asyncio.timeout(20):
            assert "the token has expired" in await ended()

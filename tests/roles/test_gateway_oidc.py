"""JWTs of an OpenID Connect issuer: whose are good, for whom, and what becomes of it while it is away."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.errors import UnauthorizedError, UnavailableError
from broker.gateway.oidc import Issuer, Oidc
from schemas.tenants import Scope
from tests.support.gateway import Running, running
from tests.support.issuer import AUDIENCE, SECRET, TestIssuer, issuing
from tests.support.tokens import bearer, say, tenant, token

JOB = {"program_id": "hello-world", "params": {}, "job_id": "mine"}


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Running, TestIssuer]]:
    """A gateway that takes the JWTs of an issuer; and the issuer."""
    issuer = TestIssuer()
    async with (
        issuing(issuer),
        running(brokered=True, oidc=Oidc(issuer.url, AUDIENCE)) as served,
    ):
        await say(served.ledger.log, tenant("chem"), tenant("other"))
        yield served, issuer


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
        ({"iss": "http://elsewhere"}, "not known"),
    ],
)
async def test_a_jwt_that_is_not_for_us_is_refused(claims: dict[str, Any], told: str) -> None:
    async with both() as (served, issuer):
        said = await served.get("/jobs", 401, headers=bearer(issuer.token(**claims)))

    assert told in said["error"]["message"]


async def test_a_jwt_that_others_signed_is_refused() -> None:
    async with both() as (served, issuer):
        other = ECKey.generate_key("P-256", {"kid": "first"})
        await served.get("/jobs", 401, headers=bearer(issuer.token(key=other)))
        await served.get("/jobs", 401, headers=bearer(issuer.token(key=SECRET, alg="HS256")))
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
        await served.post("/login", {"token": issuer.token()}, 403)
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
        await asyncio.sleep(0.1)
        await known.close()
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

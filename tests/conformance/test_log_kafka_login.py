"""Who is let in by a real Kafka with TLS, SASL and rights, and stays in when sessions end."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from broker.errors import LogUnavailableError, QjbError, SettingsError
from broker.transports.cluster import cluster_of
from broker.transports.kafka import KafkaLog
from broker.transports.kafka.options import Options
from broker.transports.log import Follower, TopicPartition
from broker.transports.topics import EVENTS, REQUESTS, STATE, STATUS, TOPICS
from schemas.records import Record, Stored
from schemas.topics import events_of, requests_of
from tests.support.awaiting import eventually, settled
from tests.support.kafka import KafkaCluster
from tests.support.token_issuer import TokenIssuer, giving_tokens

pytestmark = pytest.mark.kafka
SOME = {name: TOPICS[name] for name in (EVENTS, REQUESTS, STATE, STATUS)}
KEY = b"default/job-1"
PLACE = TopicPartition(EVENTS, 0)


@pytest.fixture
def prefix() -> str:
    return f"k{uuid.uuid4().hex[:8]}."


def values(records: list[Stored]) -> list[bytes]:
    return [record.value for record in records]


@pytest.fixture
async def over_tls(secured: KafkaCluster) -> AsyncIterator[KafkaCluster]:
    """Ends when its connections have: over TLS both sides say that they close first."""
    yield secured
    transports = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]
    await eventually(
        lambda: not any(transport._sock is not None for transport in list(transports.values()))
    )


def secured_log(
    cluster: KafkaCluster, prefix: str, user: str, open_within: float = 30.0, **asked: object
) -> KafkaLog:
    asked = {"mechanism": "plain", "ca_file": cluster.certificate} | asked
    place = f"{user}@127.0.0.1:{cluster.secured_port}"
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    url = f"kafkas://{place}?{query}"
    options = Options(open_within=open_within)
    return KafkaLog(cluster_of(url), topics=SOME, prefix=prefix, options=options)


@pytest.fixture
async def issuer(secured: KafkaCluster) -> AsyncIterator[TokenIssuer]:
    """Gives tokens that Kafka takes; every client's secret is its name."""
    assert secured.signing_key is not None
    issuer = TokenIssuer(secured.signing_key, "admin", "guest")
    async with giving_tokens(issuer):
        yield issuer


def by_token(issuer: TokenIssuer, **asked: object) -> dict[str, object]:
    return {"mechanism": "OAUTHBEARER", "token_url": issuer.url} | asked


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_who_is_known_may_use_it_over_tls(
    over_tls: KafkaCluster, prefix: str, issuer: TokenIssuer, mechanism: str
) -> None:
    asked = by_token(issuer) if mechanism == "OAUTHBEARER" else {"mechanism": mechanism}
    log = secured_log(over_tls, prefix, "admin:admin", **asked)
    await log.open()
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    await log.append(EVENTS, [Record(b"1", KEY, partition=0)])

    assert values(await follower.next(10)) == [b"1"]
    assert values(await log.read(EVENTS, 0, 0)) == [b"1"]
    await log.close()


@pytest.mark.parametrize(
    ("user", "asked", "said"),
    [
        ("admin:wrong", {}, "does not accept this user, password and mechanism"),
        ("admin:admin", {"mechanism": "SCRAM-SHA-256"}, "by this mechanism"),
        ("admin:admin", {"ca_file": ""}, "is not trusted"),
        ("guest:guest", {}, "qjb.events.v1: not to be seen, and not to be made: Authorization"),
    ],
)
async def test_who_is_not_let_in_is_told_why_at_once(
    over_tls: KafkaCluster, prefix: str, user: str, asked: dict[str, str], said: str
) -> None:
    with pytest.raises(QjbError, match=said):
        async with asyncio.timeout(10):
            await secured_log(over_tls, prefix, user, **asked).open()


@pytest.mark.parametrize(
    ("user", "audience", "said"),
    [
        ("admin:wrong", "kafka", r"there is no token: \S+/token answers 401 \(invalid_client\)"),
        ("nobody:nobody", "kafka", r"answers 401 \(invalid_client\)"),
        ("admin:admin", "another", "does not accept this client's token"),
        (
            "guest:guest",
            "kafka",
            "qjb.events.v1: not to be seen, and not to be made: Authorization",
        ),
    ],
)
async def test_whose_token_does_not_help_is_told_why_at_once(
    over_tls: KafkaCluster, prefix: str, issuer: TokenIssuer, user: str, audience: str, said: str
) -> None:
    issuer.audience = audience
    with pytest.raises(QjbError, match=said):
        async with asyncio.timeout(10):
            await secured_log(over_tls, prefix, user, **by_token(issuer)).open()


async def test_who_may_see_topics_and_neither_write_nor_read_them_is_told_so_soon(
    over_tls: KafkaCluster, prefix: str, issuer: TokenIssuer
) -> None:
    log = secured_log(over_tls, prefix, "admin:admin", **by_token(issuer))
    await log.open()
    await log.close()
    guest = ["--add", "--allow-principal=User:guest"]
    sees = ["--operation=Describe", "--operation=DescribeConfigs", "--topic", prefix]
    for right, said in (
        ([*sees, "--resource-pattern-type=prefixed"], "it lets this user write to no topic"),
        (["--operation=Write", "--topic", prefix + EVENTS], r"not let this user read .*layout"),
    ):
        await asyncio.to_thread(over_tls.acls, *guest, *right)
        with pytest.raises(LogUnavailableError, match=said):
            async with asyncio.timeout(25):
                await secured_log(over_tls, prefix, "guest:guest", **by_token(issuer)).open()


async def test_an_endpoint_that_is_away_is_named_when_it_was_waited_for(
    over_tls: KafkaCluster, prefix: str
) -> None:
    issuer = TokenIssuer(ECKey.generate_key("P-256"))
    async with giving_tokens(issuer):
        pass
    with pytest.raises(LogUnavailableError, match=r"there is no token: .* Cannot connect to host"):
        await secured_log(over_tls, prefix, "admin:admin", 1.0, **by_token(issuer)).open()


async def test_a_file_that_goes_away_later_harms_nobody(
    over_tls: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("admin\n")
    log = secured_log(over_tls, prefix, "admin", password_file=file)
    await log.open()
    file.unlink()
    with capture_logs() as told:
        await log.append(EVENTS, [Record(b"1", KEY, partition=0)])
        assert values(await log.read(EVENTS, 0, 0)) == [b"1"]
        assert values(await log.follow({PLACE: 0}).next(10)) == [b"1"]
    await log.close()

    assert {line["event"] for line in told} == {"log.setting_unusable"}


def places(cluster: KafkaCluster) -> frozenset[int]:
    """The ports from which this process is connected there."""
    return frozenset(
        each.laddr.port
        for each in psutil.Process().net_connections("tcp")
        if each.raddr and each.raddr.port == cluster.secured_port and each.status == "ESTABLISHED"
    )


async def append_until(log: KafkaLog, enough: Callable[[], bool]) -> int:
    """Append 0, 1, 2 … until there is *enough*; how many."""
    numbers = count()

    async def one() -> bool:
        await log.append(EVENTS, [Record(b"%d" % next(numbers), KEY, partition=0)])
        return enough()

    await eventually(one, within=60)
    return next(numbers)


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "SCRAM-SHA-512"])
async def test_connections_outlive_their_sessions(
    over_tls: KafkaCluster, prefix: str, issuer: TokenIssuer, mechanism: str
) -> None:
    issuer.lasts = 6
    asked = by_token(issuer) if mechanism == "OAUTHBEARER" else {"mechanism": mechanism}
    log = secured_log(over_tls, prefix, "admin:admin", **asked)
    await log.open()
    follower = log.follow({PLACE: 0})
    heard: list[bytes] = []
    listening = asyncio.create_task(listen(follower, heard))
    await log.append(EVENTS, [Record(b"first", KEY, partition=0)])
    await eventually(lambda: heard)
    await log.bounds(EVENTS, 0)  # by a connection that idles from now on
    before = await settled(lambda: places(over_tls), still=1.0)
    four_sessions = time.monotonic() + 12.0  # of SCRAM

    def enough() -> bool:
        over = time.monotonic() > four_sessions
        return over if mechanism != "OAUTHBEARER" else len(issuer.given) > 3

    with capture_logs() as told:
        appended = await append_until(log, enough)
        await log.bounds(EVENTS, 0)
        await eventually(lambda: len(heard) > appended)

    assert heard == [b"first", *(b"%d" % number for number in range(appended))]
    assert before <= places(over_tls)
    assert len(before) > 2
    assert not [line for line in told if line["log_level"] != "info"]
    listening.cancel()
    await log.close()


async def listen(follower: Follower, heard: list[bytes]) -> None:
    while True:
        heard += values(await follower.next(10))


async def test_nothing_is_lost_while_the_endpoint_is_away_for_longer_than_a_token_is_good(
    over_tls: KafkaCluster, prefix: str, issuer: TokenIssuer
) -> None:
    issuer.lasts = 4
    log = secured_log(over_tls, prefix, "admin:admin", **by_token(issuer))
    await log.open()
    heard: list[bytes] = []
    listening = asyncio.create_task(listen(log.follow({PLACE: 0}), heard))
    given = len(issuer.given)
    with capture_logs() as told:
        issuer.instead = lambda: web.Response(status=503)
        appending = asyncio.create_task(append_until(log, lambda: len(issuer.given) > given))
        missing = {"event": "token.unavailable", "good": False}
        await eventually(lambda: any(missing.items() <= line.items() for line in told))
        issuer.instead = None
        appended = await appending
    await eventually(lambda: len(heard) >= appended)

    assert heard == [b"%d" % number for number in range(appended)]
    listening.cancel()
    await log.close()


async def test_a_tenant_may_ask_on_its_own_topic_and_see_no_other(
    over_tls: KafkaCluster, prefix: str
) -> None:
    own, other = (prefix + requests_of(tenant).name for tenant in ("alpha", "beta"))
    told, told_to_other = (prefix + events_of(tenant).name for tenant in ("alpha", "beta"))
    log = secured_log(over_tls, prefix, "admin:admin")
    await log.open()
    topics = [
        topic(tenant).name for tenant in ("alpha", "beta") for topic in (requests_of, events_of)
    ]
    await log.provide(topics)
    await log.append(events_of("alpha").name, [Record(b"told", b"alpha/j1")])
    for granted in (["Write", "--topic", own], ["Read", "--topic", told]):
        user = ["--add", "--allow-principal", "User:alpha", "--operation", *granted]
        await asyncio.to_thread(over_tls.acls, *user)

    place = f"alpha:alpha@127.0.0.1:{over_tls.secured_port}"
    query = f"mechanism=plain&ca_file={over_tls.certificate}"
    options = cluster_of(f"kafkas://{place}?{query}").options()
    alpha = AIOKafkaProducer(**options)
    await alpha.start()
    await alpha.send_and_wait(own, b"{}")
    with pytest.raises(TopicAuthorizationFailedError):
        await alpha.send_and_wait(told, b"{}")
    for topic in (other, told_to_other, prefix + REQUESTS, prefix + EVENTS):
        with pytest.raises(TopicAuthorizationFailedError):  # who may read or write may see it
            await alpha.partitions_for(topic)
    await alpha.stop()
    reader = AIOKafkaConsumer(told, auto_offset_reset="earliest", **options)
    await reader.start()
    assert (await asyncio.wait_for(reader.getone(), 15)).value == b"told"
    await reader.stop()

    assert values(await log.read(requests_of("alpha").name, 0, 0)) == [b"{}"]
    await log.close()


async def test_what_is_to_be_trusted_must_be_there(prefix: str) -> None:
    log = KafkaLog(cluster_of("kafkas://localhost:1?ca_file=/no/such/file"), prefix=prefix)
    with pytest.raises(SettingsError, match="ca_file /no/such/file can not be used: No such file"):
        await log.open()

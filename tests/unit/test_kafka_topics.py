"""How topics are set up on Kafka, and how a wrong one is named."""

import re
from pathlib import Path

import pytest

from broker.errors import SettingsError
from broker.transports.cluster import Cluster, Grant, cluster_of
from broker.transports.kafka.topics import configs, findings, risks
from broker.transports.topics import EVENTS, INBOX, STATE, STATUS, TOPICS, keeping_events

GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * 86_400_000),
    "max.message.bytes": "1048588",
}


@pytest.mark.parametrize(
    ("name", "policy", "retention"),
    [
        (EVENTS, "delete", "604800000"),
        (STATE, "compact", "-1"),
        (STATUS, "compact,delete", "3600000"),
        (INBOX, "delete", "3600000"),
    ],
)
def test_topics_are_made_as_they_are_described(name: str, policy: str, retention: str) -> None:
    made = configs(TOPICS[name])

    assert made["cleanup.policy"] == policy
    assert made["retention.ms"] == retention


@pytest.mark.parametrize(("kept", "retention"), [(3600.0, "3600000"), (None, "-1")])
def test_events_are_kept_as_the_setting_says(kept: float | None, retention: str) -> None:
    topic = keeping_events(kept)[EVENTS]

    assert configs(topic)["retention.ms"] == retention
    (finding,) = findings(topic, EVENTS, 4, 4, GOOD | {"retention.ms": "60000"})
    assert finding == f"{EVENTS}: retention.ms is 60000, wanted at least {retention}"


@pytest.mark.parametrize("name", TOPICS)
def test_what_we_make_is_right(name: str) -> None:
    topic = TOPICS[name]
    assert list(findings(topic, name, topic.partitions, topic.partitions, configs(topic))) == []


@pytest.mark.parametrize("name", TOPICS)
def test_a_segment_ends_before_its_records_do(name: str) -> None:
    made = configs(TOPICS[name])
    assert made["retention.ms"] == "-1" or int(made["segment.ms"]) <= int(made["retention.ms"]) / 6


def wrong(partitions: int = 4, **changed: str) -> list[str]:
    found = GOOD | {name.replace("_", "."): value for name, value in changed.items()}
    return list(findings(TOPICS[EVENTS], EVENTS, partitions, 4, found))


def test_more_partitions_and_longer_retention_are_fine() -> None:
    assert wrong(partitions=64) == []
    assert wrong(retention_ms="-1") == []
    assert wrong(retention_ms=str(30 * 86_400_000)) == []


def test_too_few_partitions_are_named() -> None:
    (finding,) = wrong(partitions=1)
    assert finding == f"{EVENTS}: partitions is 1, wanted at least 4"


def test_a_retention_that_is_too_short_is_named() -> None:
    (finding,) = wrong(retention_ms="3600000")
    assert finding == f"{EVENTS}: retention.ms is 3600000, wanted at least 604800000"


@pytest.mark.parametrize("policy", ["compact", "compact,delete", ""])
def test_a_cleanup_that_would_lose_events_is_named(policy: str) -> None:
    (finding,) = wrong(cleanup_policy=policy)
    assert finding == f"{EVENTS}: cleanup.policy is {policy}, wanted delete"


def test_the_order_of_policies_does_not_matter() -> None:
    found = configs(TOPICS[STATUS]) | {"cleanup.policy": "delete, compact"}
    assert list(findings(TOPICS[STATUS], STATUS, 1, 1, found)) == []


def test_a_limit_on_records_below_ours_is_named() -> None:
    (finding,) = wrong(max_message_bytes="10000")
    assert "max.message.bytes is 10000" in finding


@pytest.mark.parametrize("codec", ["producer", "zstd"])
def test_a_topic_that_holds_what_we_can_not_unpack_is_named(codec: str) -> None:
    (finding,) = wrong(compression_type=codec)
    assert finding == f"{EVENTS}: compression.type is {codec}, wanted uncompressed"


def test_times_that_producers_say_are_named_unless_nothing_becomes_old() -> None:
    (finding,) = wrong(message_timestamp_type="CreateTime")
    assert finding == (
        f"{EVENTS}: message.timestamp.type is CreateTime, wanted LogAppendTime:"
        " writers would say what is old"
    )
    assert wrong(message_timestamp_type="LogAppendTime") == []
    assert wrong(message_timestamp_type="CreateTime", retention_ms="-1") == []
    state = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    assert len(list(findings(TOPICS[STATE], STATE, 4, 4, state))) == 1


def test_everything_that_is_wrong_is_named() -> None:
    assert len(wrong(partitions=1, cleanup_policy="compact", max_message_bytes="1")) == 3


def test_what_a_dying_node_could_lose_is_a_risk() -> None:
    assert list(risks([3, 3], {"min.insync.replicas": "2"})) == []
    assert list(risks([3, 1], {})) == ["1 copies of each record, 3 are safe"]
    assert "min.insync" in next(risks([3], {"min.insync.replicas": "1"}))
    assert "unclean" in next(risks([3], {"unclean.leader.election.enable": "true"}))


# Where a cluster is


def test_a_url_names_the_servers_to_ask() -> None:
    assert cluster_of("kafka://one:1,two:2") == Cluster(("one:1", "two:2"))
    assert cluster_of("kafka://one").servers == ("one:9092",)


def test_a_url_may_carry_who_we_are() -> None:
    cluster = cluster_of("kafkas://al%40ice:p%3Aw@one:1?mechanism=plain")

    assert (cluster.user, cluster.password) == ("al@ice", "p:w")
    assert (cluster.tls, cluster.mechanism) == (True, "PLAIN")
    options = cluster.options()
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_plain_username"] == "al@ice"
    assert "p:w" not in repr(cluster)
    assert "p:w" not in str(cluster)


def test_a_url_may_say_where_tokens_are_given() -> None:
    asked = (
        "token_url=https://idp.lab/token?realm=q&scope=a+b&extension_pool=p%261&password_file=/p"
    )
    cluster = cluster_of(f"kafkas://the%20client@one:1?mechanism=oauthbearer&{asked}")

    assert cluster.grant == Grant("https://idp.lab/token?realm=q", "a b", (("pool", "p&1"),))
    assert (cluster.user, cluster.password_file) == ("the client", "/p")


@pytest.mark.parametrize(
    "token_url",
    ["https://idp.lab", "http://localhost:8080/t", "http://127.9.9.9/t", "http://[::1]:1/t"],
)
def test_secrets_go_over_tls_or_stay_on_the_machine(token_url: str) -> None:
    cluster = cluster_of(f"kafka://a:b@one:1?mechanism=OAUTHBEARER&token_url={token_url}")

    assert cluster.grant == Grant(token_url)
    assert cluster.options() == {
        "bootstrap_servers": ["one:1"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
    }


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("a:b@one?mechanism=OAUTHBEARER", "a client's id before the @, and token_url"),
        ("one?mechanism=OAUTHBEARER&token_url=https://x", "a client's id before the @, and"),
        ("a:b@one?token_url=https://x", "are for mechanism=OAUTHBEARER"),
        ("a:b@one?mechanism=PLAIN&scope=x", "are for mechanism=OAUTHBEARER"),
        ("a:b@one?mechanism=PLAIN&extension_a=x", "are for mechanism=OAUTHBEARER"),
        *(
            (f"a:b@one?mechanism=OAUTHBEARER&token_url={url}", "token_url is no https:// URL")
            for url in (
                "http://idp.lab/t",
                "http://127.0.0.1.lab/t",
                "ftp://localhost/t",
                "https://",
                "https://u:p@idp.lab",
                "https://idp.lab:x/t",
                "https://idp.lab/%23f",
                "https://[::1/t",
                "idp.lab",
                "https://idp.lab/a+b",
            )
        ),
        *(
            (f"a:b@one?mechanism=OAUTHBEARER&token_url=https://x&{name}=1", "extension_NAME only")
            for name in ("extension_auth", "extension_", "extension_a1", "password")
        ),
        (
            "a:b@one?mechanism=OAUTHBEARER&token_url=https://x&extension_a=%01auth",
            "extension_NAME is empty, or not of printable ASCII",
        ),
        ("a:b@one?password_file=/x", "password_file is for a user without a password"),
        ("one?password_file=/x", "password_file is for a user without a password"),
    ],
)
def test_what_does_not_fit_together_in_a_url_is_named(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)):
        cluster_of(f"kafkas://{url}")


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    cluster = cluster_of(f"kafka://me@one:1?password_file={file}")
    with pytest.raises(SettingsError, match=f"password_file {file} can not be used: No such file"):
        cluster.options()
    file.write_text("p:w\n")

    assert cluster.options()["sasl_plain_password"] == "p:w"


def test_without_more_a_connection_is_plain() -> None:
    assert cluster_of("kafka://one:1").options() == {
        "bootstrap_servers": ["one:1"],
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    "url", ["kafka://", "kafka://one:x", "kafka://one:1,", "kafka://one?a=1", "kafka://:1"]
)
def test_a_url_that_says_nothing_sensible_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="QJB_LOG"):
        cluster_of(url)


def test_an_unknown_mechanism_is_named() -> None:
    with pytest.raises(SettingsError, match="GSSAPI"):
        cluster_of("kafka://a:b@one:1?mechanism=GSSAPI")

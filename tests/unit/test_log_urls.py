"""Which log a URL names."""

from pathlib import Path

import pytest

from broker.errors import SettingsError
from broker.transports.embedded import EmbeddedLog
from broker.transports.kafka import KafkaLog
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, STATUS
from broker.transports.urls import open_log


async def test_each_scheme_names_its_log(tmp_path: Path) -> None:
    assert isinstance(open_log("memory://"), MemoryLog)
    assert isinstance(open_log("sqlite:///here.db"), EmbeddedLog)
    assert isinstance(open_log("kafka://localhost:9092", prefix="test."), KafkaLog)


async def test_a_file_is_where_the_url_says(tmp_path: Path) -> None:
    log = open_log(f"sqlite:///{tmp_path}/a%20b.db")
    await log.open()
    identity = log.identity
    await log.close()

    same = EmbeddedLog(tmp_path / "a b.db")
    await same.open()
    assert same.identity == identity
    await same.close()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///here.db", "kafka://localhost"])
async def test_the_number_of_partitions_is_for_topics_that_may_have_several(url: str) -> None:
    log = open_log(url, partitions=3)

    assert (log.partitions(EVENTS), log.partitions(STATUS)) == (3, 1)


@pytest.mark.parametrize("url", ["", "qjb.db", "mysql://x", "sqlite://", "sqlite:///"])
def test_other_urls_are_refused_by_name(url: str) -> None:
    with pytest.raises(SettingsError, match="QJB_LOG"):
        open_log(url)

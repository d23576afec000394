"""From a URL to the log that it names."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from broker.errors import SettingsError
from broker.shown import url_visible
from broker.transports.cluster import cluster_of
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Log
from broker.transports.memory import MemoryLog
from broker.transports.topics import TOPICS, Topic
from broker.transports.unix import RemoteLog
from broker.transports.upkeep import Upkeep


def open_log(
    url: str,
    *,
    partitions: int | None = None,
    prefix: str = "",
    topics: Mapping[str, Topic] = TOPICS,
    joining: bool = False,
    outlives: bool = True,
    upkeep: Upkeep = Upkeep(),  # noqa: B008 -- it is frozen
) -> Log:
    """The log at *url*, not opened yet. Raises `SettingsError`.

    - `sqlite:///relative/path` or `sqlite:////absolute/path`: a file, which one process has open;
      *joining*, over the socket of that process (*outlives* as `RemoteLog` has it);
    - `memory://`: nothing that lasts;
    - `kafka://host:port,host:port`: a cluster; `kafkas://` with TLS; `kafka://user:password@…` with
      SCRAM. *prefix* is put before the names of its topics.

    *partitions* is how many those topics get that may have several, if they are to be made.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        raise SettingsError(f"QJB_LOG: {url_visible(url)!r} is no URL, such as sqlite:///qjb.db")
    if scheme == "sqlite" and joining:
        return RemoteLog(_file(url, rest), topics=topics, outlives=outlives)
    if scheme == "sqlite":
        path = _file(url, rest)
        return EmbeddedLog(path, topics=topics, partitions=partitions or 1, upkeep=upkeep)
    if scheme == "memory":
        return MemoryLog(partitions, topics)
    if scheme in ("kafka", "kafkas"):
        # Here, so that a process without Kafka does without its client.
        from broker.transports.kafka import KafkaLog

        return KafkaLog(cluster_of(url), topics=topics, partitions=partitions, prefix=prefix)
    raise SettingsError(
        f"QJB_LOG: {url_visible(url)!r} begins with none of sqlite://, kafka://, kafkas://, memory://"
    )


def _file(url: str, path: str) -> Path:
    if not path.startswith("/") or path == "/":
        raise SettingsError("QJB_LOG: a file is sqlite:///path, or sqlite:////path from the root")
    if url_visible(url) != url:
        raise SettingsError(
            "QJB_LOG: a file has no user, password or query; in its path, ? is %3F and @ is %40"
        )
    return Path(unquote(path[1:])).expanduser()

"""How a process comes to its log: the one that has the embedded log's file, those that join it,
and operators, who may come while no service runs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.data_folder import make_data_folder
from broker.errors import LogNotServedError, SettingsError
from broker.settings.settings import Settings
from broker.transports.log import Log, Reach
from broker.transports.topics import keeping_events
from broker.transports.upkeep import Upkeep
from broker.transports.urls import open_log


def log_of(settings: Settings, *, joining: bool, outlives: bool, upkeep: Upkeep) -> Log:
    """The log, not opened yet.

    *joining*: an embedded one is another process's. *outlives*: what passes between broker and
    worker has to outlive this process.
    """
    storage = settings.storage
    return open_log(
        storage.log,
        partitions=storage.partitions,
        prefix=storage.topic_prefix,
        topics=keeping_events(storage.kept_events),
        joining=joining,
        outlives=outlives,
        upkeep=upkeep,
    )


@asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator[tuple[Log, bool]]:
    """The log of a service, open while the block runs, and whether the service runs.

    Raises `SettingsError`.
    """
    storage = settings.storage
    if not {"data", "log"} & storage.model_fields_set and not (storage.data / "log.db").exists():
        raise SettingsError(
            f"no service has its log in {storage.data}: name the folder of yours with --data or"
            " QJB_DATA, or its log with --log or QJB_LOG"
        )
    make_data_folder(storage.data)
    log = log_of(settings, joining=True, outlives=True, upkeep=Upkeep())
    if log.reach is Reach.PROCESS:
        raise SettingsError("QJB_LOG: nobody else reaches a log in memory")
    is_served = True
    try:
        await log.open()
    except LogNotServedError:  # nobody has it open
        is_served = False
        await log.close()
        log = log_of(settings, joining=False, outlives=False, upkeep=Upkeep())
        await log.open()
    try:
        yield log, is_served
    finally:
        await log.close()

"""Records are taken one by one, and one that nobody can take ends no reader."""

from collections.abc import Callable, Iterable

import structlog

from schemas.decoding import UnreadableError
from schemas.records import Stored

logger = structlog.get_logger()


def take_each(records: Iterable[Stored], take: Callable[[Stored], object]) -> None:
    """Give each of *records* to *take*; what it can not take is told, and passed over."""
    for record in records:
        try:
            take(record)
        except UnreadableError as error:
            logger.warning(
                "record.unreadable", **_where(record), code=error.code, error=error.message
            )
        except Exception:
            logger.exception("record.failed", **_where(record))


def _where(record: Stored) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}

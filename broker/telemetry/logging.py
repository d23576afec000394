"""Log lines: JSON for machines, readable at a terminal, on standard error."""

import io
import logging
import sys
from contextlib import suppress
from typing import Any

import orjson
import structlog

from broker.shown import json_visible, on_one_line, visible

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
AGAIN_AFTER = 10.0  # s until a library may repeat itself
# Libraries that warn of what our own log lines say already.
_QUIET = ("aiokafka", "aiohttp.access", "asyncio")


def configure(level: str = "info", form: str = "auto") -> None:
    """Set up log lines for this process: *form* is `json`, `console` or `auto` (by the terminal)."""
    pretty = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_renderers(pretty)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_factory(pretty),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(shared, pretty, _LEVELS[level])


def _renderers(pretty: bool) -> list[Any]:
    if pretty:
        return [_visible, structlog.dev.ConsoleRenderer(exception_formatter=_traceback)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_dumps),
    ]


def _visible(_logger: Any, _method: str, event: Any) -> Any:
    """*event* without what would drive a terminal; `repr` of other values has nothing of that."""
    return {
        on_one_line(str(name)): on_one_line(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _traceback(stream: Any, exc_info: Any) -> None:
    """Without the frames' variables, which may hold inputs and results."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(visible(text.getvalue()))


def _factory(pretty: bool) -> Any:
    stream: Any = _Dropping(sys.stderr if pretty else sys.stderr.buffer)
    return structlog.WriteLoggerFactory(stream) if pretty else structlog.BytesLoggerFactory(stream)


class _Dropping:
    """Writes to *stream*; what that does not take, as on a full disk, stops nobody's work."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, line: Any) -> None:
        with suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _configure_libraries(shared: list[Any], pretty: bool, level: int) -> None:
    """Let what libraries log look like our own lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_renderers(True) if pretty else [structlog.processors.format_exc_info, _as_text]),
            ],
        )
    )
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


class Seldom(logging.Filter):
    """Lets a message through once in ten seconds: clients that retry say the same all the time."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        name = (record.name, str(record.msg)[:200])  # of the message before its arguments are in it
        if record.created - self._last.get(name, 0.0) < AGAIN_AFTER:
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[name] = record.created
        return True


def _dumps(event: Any, **_: Any) -> bytes:
    """*event* as JSON, whatever is in it: a log line stops nobody's work."""
    try:
        line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # such as half a surrogate pair
        line = orjson.dumps({visible(str(name)): visible(str(event[name])) for name in event})
    if line.isascii() and b"\x7f" not in line:
        return line
    return json_visible(line.decode()).encode()


def _as_text(_logger: Any, _method: str, event: Any) -> str:
    return _dumps(event).decode()

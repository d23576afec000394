"""Keeps connections logged in for as long as they are used, which aiokafka's clients do not.

Where sessions end, with a token or by `connections.max.reauth.ms`, Kafka closes the connection that
is used later. So one that is used logs in anew before that, on the same connection (KIP-368).
"""

import asyncio
import functools
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, NoError, for_code
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest

from broker.transports.cluster import TOKENS
from broker.transports.kafka.oauth import TokenError
from broker.transports.kafka.taking import TROUBLE

ENOUGH = 0.9  # of a session, after which its connection logs in anew
SOONEST = 1.5  # s between two logins; Kafka takes no two in a second
PAUSE = 1.0  # s until a login that lacks a token is tried again

logger = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Session:
    """Times are the steady clock's. Whoever logged in first did not hear when the session ends."""

    due: float = 0.0  # when to log in anew
    ends: float = math.inf
    exchange: asyncio.Lock = field(default_factory=asyncio.Lock)  # nothing is sent amid a login
    renewing: asyncio.Task[None] | None = None


class Sessions:
    """Those of the connections of some clients; *prepare* gets what is needed to log in."""

    def __init__(self, prepare: Callable[[], Awaitable[None]]) -> None:
        self._prepare = prepare
        self._sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, client: Any) -> None:
        """Keep logged in what *client*, an `AIOKafkaClient` before its start, connects to."""
        client._get_conn = functools.partial(self._connection, client._get_conn)

    async def stop(self) -> None:
        """Log in nowhere any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(
        self, connect: Callable[..., Awaitable[Any]], node: Any, **how: Any
    ) -> Any:
        """A connection to *node* that something may be sent on at once, or None."""
        connection = await connect(node, **how)
        if connection is None:
            return None
        session = self._sessions.setdefault(connection, _Session())
        now = time.monotonic()
        if now >= session.due and session.renewing is None:
            session.renewing = self._start(connection, session)
        if now >= session.ends and session.renewing is not None:
            await asyncio.wait([session.renewing])
        async with session.exchange:
            return connection if connection.connected() else None

    def _start(self, connection: Any, session: _Session) -> asyncio.Task[None]:
        task = asyncio.create_task(self._renew(connection, session), name="kafka-login")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _renew(self, connection: Any, session: _Session) -> None:
        try:
            await self._prepare()
            async with session.exchange:
                began = time.monotonic()
                lasts = await log_in(connection)
        except TokenError:  # that is told; the session has not ended yet, or Kafka will say so
            session.due = time.monotonic() + PAUSE
        except IllegalSaslStateError:  # Kafka has no use for it: sessions do not end here
            session.due = math.inf
        except KafkaConnectionError:  # it is closed: whoever used it hears of it
            connection.close()
        except TROUBLE as error:
            node = f"{connection.host}:{connection.port}"
            logger.warning("log.not_logged_in_anew", node=node, error=repr(error))
            connection.close()
        else:
            session.due = began + max(ENOUGH * lasts, SOONEST)
            session.ends = began + lasts
        finally:
            session.renewing = None


async def log_in(connection: Any) -> float:
    """Log in on *connection*; for how many seconds it may be used then.

    Raises `KafkaError`, `OSError`, `TimeoutError`.
    """
    answer = await connection.send(SaslHandShakeRequest(connection._sasl_mechanism))
    check(answer.error_code)
    login = _authenticator(connection)
    said, lasts = None, 0
    while (step := await login.step(said)) is not None:
        said, lasts = await _authenticate(connection, step[0])
    if said and connection._sasl_mechanism == TOKENS:
        await _authenticate(connection, b"\x01")  # to hear why it was refused (RFC 7628, 3.2.3)
    return lasts / 1000 if lasts > 0 else math.inf


async def _authenticate(connection: Any, message: bytes) -> tuple[bytes, int]:
    answer = await connection.send(SaslAuthenticateRequest(message))
    check(answer.error_code, answer.error_message)
    return answer.sasl_auth_bytes, getattr(answer, "session_lifetime_ms", 0)


def _authenticator(connection: Any) -> Any:
    match connection._sasl_mechanism:
        case "PLAIN":
            return connection.authenticator_plain()
        case mechanism if mechanism == TOKENS:
            return connection.authenticator_oauth()
        case _:
            return connection.authenticator_scram()


def check(code: int, message: str = "") -> None:
    """Raises the `KafkaError` that *code* stands for, if it does."""
    if (kind := for_code(code)) is not NoError:
        raise kind(message)

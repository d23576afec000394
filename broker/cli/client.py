"""The gateway's HTTP API and its event streams, for the client commands."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import aiohttp

from broker.cli.addresses import gateway_url, segment, sendable, trusted, why_untrusted
from broker.cli.answers import (
    Answer,
    AnswerError,
    GatewayMissingError,
    Several,
    json_in,
    object_in,
    refusal,
)
from broker.cli.options import Address
from broker.cli.resuming import ResumedStream
from broker.cli.sse import Message, Parser
from broker.errors import QjbError
from broker.shown import url_visible

CONNECT = 5.0  # s
ANSWER = 120.0  # s for an answer that is not a stream
SILENCE = 45.0  # s without even a comment: the stream is dead
TOLD_AT = 2  # tries in a row that failed; the first may be no more than a gateway that starts anew
PAGE = 200  # jobs in one answer

WHO = "QJB_TOKEN or --token-file says who you are, and `qjb tokens create` makes a token"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a stream: `kind` is an event's, or `gap` with the job as it stands."""

    kind: str
    text: str  # the event as it came, JSON on one line
    event: dict[str, Any]


class _Asking:
    """Asks one gateway, and reads what it answers."""

    def __init__(self, at: Address) -> None:
        self.url = gateway_url(at.url)
        self._shown = url_visible(self.url)
        timeout = aiohttp.ClientTimeout(total=ANSWER, connect=CONNECT)
        connector = aiohttp.TCPConnector(ssl=trusted(at.ca_file))
        headers = {"Authorization": f"Bearer {sendable(at.token)}"} if at.token else {}
        self._http = aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def _object(self, name: str, method: str, path: str, **more: Any) -> dict[str, Any]:
        """An answer that is an object with the member *name*."""
        answer = self._read(await self._answer(method, path, **more), name)
        assert isinstance(answer, dict)
        return answer

    async def _done(self, method: str, path: str) -> None:
        """Have done what is answered by nothing."""
        if await self._answer(method, path):
            raise self._not_a_gateway()

    async def _answer(self, method: str, path: str, **more: Any) -> bytes:
        try:
            async with self._http.request(method, self.url + path, **more) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise self._missing(error) from error
        if response.status >= 400:
            raise self._refusal(response.status, body)
        return body

    def _read(self, text: bytes | str, name: str | None = None, shape: Any = Answer) -> Any:
        """The JSON in *text*; if *name* is given, an object of this *shape* with such a member."""
        try:
            return json_in(text) if name is None else object_in(text, name, shape)
        except (ValueError, RecursionError) as error:
            raise self._not_a_gateway() from error

    def _refusal(self, status: int, body: bytes) -> QjbError:
        try:
            error = refusal(status, json.loads(body))
            if status == HTTPStatus.UNAUTHORIZED:
                error.message += f"; {WHO}"
            return error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._not_a_gateway(f" (HTTP {status})")

    def _missing(self, error: Exception) -> GatewayMissingError:
        match error:
            case aiohttp.ClientConnectorCertificateError():
                return GatewayMissingError(
                    f"{self._shown} is not to be trusted: {why_untrusted(error.certificate_error)}"
                )
            case aiohttp.ClientConnectorSSLError():
                return self._not_a_gateway(" (without TLS, perhaps: then it is http://)")
            case _:
                message = f"no gateway answers at {self._shown}; `qjb up` starts one"
                return GatewayMissingError(message)

    def _not_a_gateway(self, more: str = "") -> GatewayMissingError:
        return GatewayMissingError(f"no gateway answers at {self._shown}, but something else{more}")


class Client(_Asking):
    """Speaks to one gateway. Raises `AnswerError` and `GatewayMissingError`."""

    # Questions and instructions

    async def ready(self) -> str:
        """What the gateway says of itself; raises if it is not ready."""
        body = await self._answer("GET", "/ready")
        self._read(body, "status")
        return body.decode()

    async def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a job; `{"id": …, "backend": …}`."""
        return await self._object("id", "POST", "/jobs", json=request)

    async def submit_all(self, body: bytes) -> list[dict[str, Any]]:
        """Submit the jobs in *body*; what is answered of each, see `refusal`."""
        answer = await self._answer("POST", "/jobs", data=BytesIO(body))
        return list(self._read(answer, "jobs", Several)["jobs"])

    async def job(self, job_id: str) -> dict[str, Any]:
        """A job's details."""
        params = {"exclude_params": "true"}
        return await self._object("state", "GET", f"/jobs/{segment(job_id)}", params=params)

    async def queue(self, job_id: str) -> dict[str, Any]:
        """Why a job waits, and where it stands."""
        return await self._object("waiting", "GET", f"/jobs/{segment(job_id)}/queue")

    async def result(self, job_id: str, *, invalid: bool = False) -> Any:
        """A job's final result, or the *invalid* one by which it failed.

        Raises `AnswerError` with status 204 while there is none.
        """
        which = "invalid_result" if invalid else "results"
        body = await self._answer("GET", f"/jobs/{segment(job_id)}/{which}")
        if not body:
            raise AnswerError(204, "no_result", f"the job {job_id} has no result yet")
        return self._read(body)

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end."""
        await self._done("POST", f"/jobs/{segment(job_id)}/cancel")

    async def delete(self, job_id: str) -> None:
        """Have a job that has ended forgotten."""
        await self._done("DELETE", f"/jobs/{segment(job_id)}")

    async def count(self, **filters: Any) -> int:
        """How many jobs match *filters*."""
        asked = {"limit": 1, "exclude_params": "true"} | filters
        return int((await self._object("jobs", "GET", "/jobs", params=asked))["count"])

    async def pages(self, **filters: Any) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The jobs that match *filters*, page by page, each of them once; the newest first."""
        asked = {"limit": PAGE, "exclude_params": "true"} | filters
        while True:
            answer = await self._object("jobs", "GET", "/jobs", params=asked)
            yield answer["jobs"]
            if not answer.get("next"):
                return
            asked["cursor"] = answer["next"]

    async def jobs(self, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """The newest jobs that match *filters*, at most *limit*."""
        found: list[dict[str, Any]] = []
        async with aclosing(self.pages(limit=min(PAGE, limit), **filters)) as pages:
            async for page in pages:
                found += page
                if len(found) >= limit:
                    break
        return found[:limit]

    async def sessions(self, **asked: Any) -> list[dict[str, Any]]:
        """The newest sessions that are *asked* for."""
        answer = await self._object("sessions", "GET", "/sessions", params=asked)
        return list(answer["sessions"])

    async def session(self, session_id: str) -> dict[str, Any]:
        """One session."""
        return await self._object("id", "GET", f"/sessions/{segment(session_id)}")

    async def close_session(self, session_id: str) -> dict[str, Any]:
        """Let a session take no more jobs; what it is then."""
        path, body = f"/sessions/{segment(session_id)}", {"accepting_jobs": False}
        return await self._object("id", "PATCH", path, json=body)

    async def cancel_session(self, session_id: str) -> None:
        """End a session with its jobs."""
        await self._done("DELETE", f"/sessions/{segment(session_id)}/close")

    async def programs(self) -> list[dict[str, Any]]:
        """The programs that can be run."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            asked = {"limit": PAGE, "offset": len(found)}
            answer = await self._object("programs", "GET", "/programs", params=asked)
            found |= {item["id"]: item for item in answer["programs"]}
            if len(answer["programs"]) < PAGE:
                return list(found.values())

    async def program(self, program_id: str) -> dict[str, Any]:
        """One program."""
        return await self._object("id", "GET", f"/programs/{segment(program_id)}")

    async def upload_program(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Bring a program."""
        return await self._object("id", "POST", "/programs", json=body)

    async def update_program(self, program_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a program."""
        return await self._object("id", "PATCH", f"/programs/{segment(program_id)}", json=body)

    async def delete_program(self, program_id: str) -> None:
        """Delete a program."""
        await self._done("DELETE", f"/programs/{segment(program_id)}")

    async def code(self, program_id: str) -> str:
        """The code of a program of one's own."""
        body = await self._answer("GET", f"/programs/{segment(program_id)}/data")
        return body.decode("utf-8", "replace")

    async def environments(self) -> list[dict[str, Any]]:
        """What programs can import, each environment with the workers that have it."""
        answer = await self._object("environments", "GET", "/programs/environment")
        return list(answer["environments"])

    async def backends(self) -> list[dict[str, Any]]:
        """The backends that programs can run on, with their state and queue."""
        headers = {"IBM-API-Version": "2025-05-01"}  # from here on, objects rather than names
        answer = await self._object("devices", "GET", "/backends", headers=headers)
        return list(answer["devices"])

    async def configuration(self, backend: str) -> dict[str, Any]:
        """What a backend is like."""
        return await self._object(
            "backend_name", "GET", f"/backends/{segment(backend)}/configuration"
        )

    # Streams

    async def events(
        self, job_id: str, after: str = "start", away: Callable[[str], None] | None = None
    ) -> AsyncGenerator[Happened, None]:
        """A job's events after the id *after*, to its end, through every cut.

        A stream that breaks is opened again where it stopped, for a minute; then
        `GatewayMissingError`. *away* is told, once, of a gateway that does not come back at once.
        """
        path = f"{self.url}/jobs/{segment(job_id)}/events"
        stream = ResumedStream(after)
        while not stream.ended:
            try:
                async with aclosing(self._messages(path, stream)) as messages:
                    async for message in messages:
                        if message.event == "end":
                            stream.ended = True
                            break
                        event = self._read(message.data, "state")
                        yield Happened(message.event, message.data, event)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                if not stream.may_retry:
                    raise self._missing(error) from error
                stream.failures += 1
                if away is not None and stream.failures == TOLD_AT:
                    away(f"no gateway answers at {self._shown}; trying again")
            if not stream.ended:
                await stream.pause()

    async def _messages(self, path: str, stream: ResumedStream) -> AsyncGenerator[Message, None]:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_read=SILENCE)
        headers = {"Accept": "text/event-stream, application/json", "Last-Event-ID": stream.last_id}
        async with self._http.get(path, headers=headers, timeout=timeout) as response:
            if response.status == 204:
                stream.ended = True
                return
            if response.status == 503 and stream.may_retry:
                stream.asked_to_wait(response.headers.get("Retry-After", ""))
                return
            if response.status != 200:
                raise self._refusal(response.status, await response.read())
            if response.content_type != "text/event-stream":
                raise self._not_a_gateway()
            parser = Parser()
            async for chunk in response.content.iter_any():
                for message in parser.feed(chunk):
                    yield message
                    stream.last_id = message.id or stream.last_id
                stream.heard(parser)

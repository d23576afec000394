"""Requests as they come on the topic: CloudEvents in binary or structured mode, or bare JSON.

Sources: CloudEvents 1.0.2 and its Kafka protocol binding.
"""

import base64
from dataclasses import dataclass

import msgspec

from schemas import requests
from schemas.decoding import UnreadableError, decode
from schemas.records import Stored
from schemas.submits import read_submit

STRUCTURED = "application/cloudevents+json"

REQUEST_TYPES: dict[str, type[requests.Request]] = {
    "qjb.request.submit": requests.SubmitJob,
    "qjb.request.cancel": requests.CancelJob,
    "qjb.request.delete": requests.DeleteJob,
    "qjb.request.open_session": requests.OpenSession,
    "qjb.request.close_session": requests.CloseSession,
    "qjb.request.cancel_session": requests.CancelSession,
    "qjb.request.tag": requests.TagJob,
}


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request as it was read, with the trace that it belongs to."""

    body: requests.Request
    traceparent: str | None


class _Bare(msgspec.Struct):
    kind: str | None = None


class _Structured(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    data_base64: str | None = None
    traceparent: str | None = None

    @property
    def body(self) -> bytes | memoryview:
        """The data, whichever of its two forms it has. Raises `UnreadableError`."""
        if self.data_base64 is None:
            return memoryview(self.data)
        try:
            return base64.b64decode(self.data_base64, validate=True)
        except ValueError as error:
            raise UnreadableError("invalid_message", f"data_base64: {error}") from error


def read_request(record: Stored) -> ReadRequest:
    """The request in *record*: binary mode, structured mode or bare JSON.

    Bare JSON is a submit, or what its `kind` says. Raises `UnreadableError`.
    """
    if isinstance(record.said, ReadRequest):
        return record.said
    found = record.named_headers()
    trace = text_of(found.get("traceparent"))
    media = (text_of(found.get("content-type")) or "").partition(";")[0].strip().lower()
    if media == STRUCTURED:
        envelope: _Structured = decode(record.value, _Structured)
        return ReadRequest(_body(envelope.body, envelope.type), envelope.traceparent or trace)
    if (kind := text_of(found.get("ce_type"))) is not None:
        return ReadRequest(_body(record.value, kind), trace)
    bare: _Bare = decode(record.value, _Bare)
    kind = f"qjb.request.{'submit' if bare.kind is None else bare.kind}"
    return ReadRequest(_body(record.value, kind), trace)


def _body(data: bytes | memoryview, name: str) -> requests.Request:
    if name not in REQUEST_TYPES:
        known = ", ".join(REQUEST_TYPES)
        raise UnreadableError("unknown_type", f"type {name[:80]!r} is none of {known}")
    if REQUEST_TYPES[name] is requests.SubmitJob:
        return read_submit(data)
    request: requests.Request = decode(data, REQUEST_TYPES[name])
    return request


def text_of(value: bytes | None) -> str | None:
    """The text of a header, whatever bytes are in it."""
    return value.decode("utf-8", "replace") if value is not None else None

"""Which client asks, as far as it says, and what it can not read."""

import re
from typing import Any

from aiohttp import web

from broker.gateway.api.sending import Content
from schemas.decoding import UnreadableError, decode

CLIENT = "X-Qx-Client-Application"
_RELEASE = re.compile(r"qiskit_ibm_runtime-(\d{1,4})\.(\d{1,4})")
_LOOKS_FOR_A_URL = ((0, 9), (0, 25))  # first and last that take what has `url` in it for a link
_WRAPPED = (b'{"__type__":"to_json","__value__":', b"}")  # all of them read what is in it


def release_of(request: web.BaseRequest) -> tuple[int, int] | None:
    """Major and minor release of `qiskit-ibm-runtime`; those before 0.9.3 do not say."""
    found = _RELEASE.search(request.headers.get(CLIENT, ""))
    return (int(found[1]), int(found[2])) if found else None


def asks_once(request: web.BaseRequest) -> bool:
    """Whether the client may ask for a result before there is one, and never again.

    Those until 0.4 do, where they get no websocket: over plain HTTP. They name no release.
    """
    says = request.headers.get(CLIENT, "")
    return request.scheme == "http" and bool(says) and not says.startswith("qiskit-version")


def closes_by_deleting(request: web.BaseRequest) -> bool:
    """Whether the client says `DELETE /sessions/{id}/close` to close: later ones do to cancel.

    Those before 0.9.3 name no release, and begin with something else than all later ones. Who says
    nothing means to cancel.
    """
    says, release = request.headers.get(CLIENT, ""), release_of(request)
    if release is not None:
        return release < (0, 13)
    return bool(says) and not says.startswith("qiskit-version")


def decodes_lists(request: web.BaseRequest) -> bool:
    """Whether the client decodes the inputs of all jobs of a list at once: all stock ones do, and
    fail at one circuit that a newer Qiskit wrote. They ask again for inputs that are not there.
    """
    return CLIENT in request.headers


def takes_text(request: web.BaseRequest) -> bool:
    """Whether the client takes a result only as text: QRMI has no type for what JSON may be."""
    return request.headers.get("User-Agent", "").startswith("SLURM-QRMI")


def readable(request: web.BaseRequest, content: Content) -> Content:
    """A result in a form that the client does not take for something else."""
    release = release_of(request)
    if release is None or not _LOOKS_FOR_A_URL[0] <= release <= _LOOKS_FOR_A_URL[1]:
        return content
    if content.plain is not None and not _is_misread(content.plain):
        return content
    return Content([_WRAPPED[0], *content.parts, _WRAPPED[1]])


def _is_misread(result: bytes) -> bool:
    try:
        value = decode(result, Any)
    except UnreadableError:
        return False
    return not isinstance(value, dict | list | str) or "url" in value

"""Programs as the oldest clients bring them: a form (multipart/form-data), made JSON.

Source: qiskit-ibmq-provider 0.13: text fields, of which some hold JSON, and the code as a file.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_TYPE
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import BadHttpMessage

from broker.errors import InvalidRequestError
from schemas.submits import WrongFieldsError
from schemas.uploads import as_json

MOST_PARTS = 20
MOST_JSON = 256 * 1024  # bytes of a field that holds JSON
AS_JSON = {  # such fields, and what they are called today
    "backendRequirements": "backend_requirements",
    "returnValues": "return_values",
    "interimResults": "interim_results",
    "backend_requirements": "backend_requirements",
    "return_values": "return_values",
    "interim_results": "interim_results",
    "parameters": "parameters",
    "spec": "spec",
    "cost": "cost",
    "max_execution_time": "max_execution_time",
    "is_public": "is_public",
}

_NO_TEXT = re.compile("[\ud800-\udfff]")  # what stands for bytes that are no UTF-8


def is_form(request: web.BaseRequest) -> bool:
    """Whether its body is a form. Any other content type says nothing: clients get it wrong."""
    return request.content_type == "multipart/form-data"


async def as_upload(request: web.BaseRequest, body: bytes) -> bytes:
    """The form *body* as `read_upload` reads it. Raises `InvalidRequestError`."""
    fields: dict[str, Any] = {}
    code = None
    try:
        async for name, filename, text in _parts(request, body):
            if name == "program" or (name == "data" and filename is not None):
                code = text
            else:
                fields[AS_JSON.get(name, name)] = _value(name, text)
    except (ValueError, LookupError, RuntimeError, AssertionError, BadHttpMessage) as error:
        # aiohttp asserts that a boundary is short where a first part says the charset of all
        raise InvalidRequestError(f"the form can not be read: {_line(error)}") from error
    try:
        return as_json(fields, code)
    except WrongFieldsError as error:
        raise InvalidRequestError(error.message, error.violations) from error


async def _parts(
    request: web.BaseRequest, body: bytes
) -> AsyncIterator[tuple[str, str | None, bytes]]:
    """Name, name of the file and content of each part."""
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), limit=len(body), loop=loop)  # it is here
    reader = aiohttp.MultipartReader(request.headers, stream)
    begun = body.lstrip()
    if not _begins(begun, request.headers[CONTENT_TYPE]):
        raise ValueError("it does not begin as its Content-Type says")
    stream.feed_data(begun)
    stream.feed_eof()
    count = 0
    while (part := await reader.next()) is not None:
        count += 1
        if count > MOST_PARTS or not isinstance(part, aiohttp.BodyPartReader):
            raise ValueError(f"it may have {MOST_PARTS} parts, and none with parts of its own")
        if CONTENT_ENCODING in part.headers:  # what is packed may become any size
            raise ValueError(f"a part has a {CONTENT_ENCODING}; pack the whole request instead")
        name = part.name or ""
        if _NO_TEXT.search(name):
            raise ValueError("the name of a part is no UTF-8")
        yield name, part.filename, await _content(part)


def _begins(body: bytes, content_type: str) -> bool:
    """Whether its first line is the boundary. Lines before it would be read one by one."""
    boundary = parse_mimetype(content_type).parameters["boundary"]
    return body.split(b"\n", 1)[0].rstrip() == b"--" + boundary.encode()


async def _content(part: aiohttp.BodyPartReader) -> bytes:
    """What is in it. Others have their turns meanwhile: base64 may be written to take long."""
    held = bytearray()
    while not part.at_eof():
        held += await part.read_chunk()
        await asyncio.sleep(0)
    return bytes(part.decode(held))


def _value(name: str, text: bytes) -> Any:
    """The value of a field. What is none of its kind stays text, and is told by its field's rule."""
    if name not in AS_JSON or len(text) > MOST_JSON:
        return text.decode("utf-8", "replace")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if value is None:  # who has nothing to say of a field leaves it out
        return text.decode("utf-8", "replace")
    is_wrapped = name == "parameters" and isinstance(value, dict) and value.keys() == {"doc"}
    return value["doc"] if is_wrapped else value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

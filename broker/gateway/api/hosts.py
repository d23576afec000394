"""Names under which a server answers.

A website may point its own name at 127.0.0.1 once its page is loaded (DNS rebinding). To the
browser that page and a server on the reader's machine then have one origin; only the name that
it asks for gives it away.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11

from broker.errors import HttpVersionError, InvalidRequestError, MisdirectedError

HERE = ("localhost", "*.localhost")  # RFC 6761: these are never looked up elsewhere
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{0,5}))?")


class Hosts:
    """On loopback the names that point there, and those that are *allowed* (`*` in a pattern
    stands for anything); elsewhere every name, or if some are allowed those and all addresses.
    """

    def __init__(self, allowed: Sequence[str], own: str) -> None:
        self._allowed = [pattern.lower().rstrip(".") for pattern in (*allowed, own, *HERE)]
        self._strict = bool(allowed)
        self.on_loopback = True  # until it is known
        self.answers = lru_cache(maxsize=256)(self._answers)

    def _answers(self, host: str) -> bool:
        """Whether *host*, as a request says it, is one of ours. Raises `InvalidRequestError`."""
        found = _HOST.fullmatch(host)
        if found is None or int(found[2] or 0) > 65535:
            raise InvalidRequestError(f"Host: {host[:80]!r} is no name with a port")
        name = found[1].lower().rstrip(".")
        if not self.on_loopback and not self._strict:
            return True
        if (address := _address(name)) is not None:
            return address.is_loopback or not self.on_loopback or name in self._allowed
        return any(fnmatchcase(name, pattern) for pattern in self._allowed)

    def check(self, request: web.BaseRequest) -> None:
        """Refuse *request* if it is for another name: it was meant for somebody else.

        So is one in an HTTP that says otherwise for whom it is.
        """
        if request.version.major > HttpVersion11.major:
            raise HttpVersionError("this server speaks HTTP/1.1")
        for host in _named(request):
            if not self.answers(host):
                text = f"{host[:80]} is not a name of this server; QJB_HOSTS can make it one"
                raise MisdirectedError(text)


def _named(request: web.BaseRequest) -> list[str]:
    """Every name that *request* says it is for. Raises `InvalidRequestError` for one without."""
    said = request.headers.getall("Host", [])
    if request.version < HttpVersion10 or (not said and request.version >= HttpVersion11):
        raise InvalidRequestError("Host: it is missing")
    if "://" in request.raw_path.partition("?")[0]:  # a target with a name of its own
        name = request.host
        said = [*said, f"[{name}]" if ":" in name else name]
    return said


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name.strip("[]"))
    except ValueError:
        return None

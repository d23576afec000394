"""Which handler answers what: a tree of the parts that paths have."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from aiohttp import web

from broker.gateway.api.parts import Request

Handler: TypeAlias = Callable[[Request], Awaitable[web.StreamResponse]]
Route: TypeAlias = tuple[str, str, Handler]  # method, path, and who answers


class Place:
    """What stands at a path: who answers which method, and what may follow."""

    def __init__(self) -> None:
        self.path = ""  # as its route has it
        self.handlers: dict[str, Handler] = {}
        self._below: dict[str, Place] = {}
        self._any: tuple[str, Place] | None = None  # a name for what else may follow, not nothing

    def add(self, routes: Iterable[Route], prefix: str = "") -> None:
        """Have *routes* be answered below *prefix*. A part `{name}` of a path may be anything."""
        for method, path, handler in routes:
            place = self
            for part in (prefix + path).split("/")[1:]:
                place = place._made(part)
            place.path = path
            place.handlers[method] = handler
            if method == "GET":
                place.handlers["HEAD"] = handler

    def _made(self, part: str) -> "Place":
        if not part.startswith("{"):
            return self._below.setdefault(part, Place())
        self._any = self._any or (part[1:-1], Place())
        return self._any[1]

    def at(self, path: str) -> tuple["Place | None", Mapping[str, str]]:
        """What stands at *path*, with or without a slash behind, and what the path names."""
        names: dict[str, str] = {}
        plain = path[:-1] if path[-1:] == "/" and path[-2:-1] not in ("", "/") else path
        place = self
        for part in plain.split("/")[1:]:
            below = place._below.get(part)
            if below is None:
                if place._any is None or not part or "{" in part or "}" in part:
                    return None, names
                name, below = place._any
                names[name] = part.replace("%2F", "/").replace("%25", "%")  # all else is decoded
            place = below
        return place if place.handlers else None, names

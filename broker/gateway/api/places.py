"""Which handler answers what: a tree of the parts that paths have."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from broker.gateway.api.describing import Schema
from broker.gateway.api.parts import Request
from broker.gateway.caller import Scope

Handler: TypeAlias = Callable[[Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route: who answers it, and what the description of the API says of it."""

    method: str
    path: str  # a part `{name}` of it may be anything
    handler: Handler
    name: str = ""
    summary: str = ""
    answers: Mapping[int, Schema] = field(default_factory=dict)  # by status
    parameters: Sequence[Schema] = ()
    description: str = ""
    body: Schema | None = None  # by media type
    scope: Scope | None = None  # what a caller needs; None: READ for GET, SUBMIT for all else
    is_open: bool = False  # nobody has to say who they are

    @property
    def needs(self) -> Scope | None:
        """What a caller must be allowed to do; None if nobody has to say who they are."""
        if self.is_open:
            return None
        return self.scope or (Scope.READ if self.method == "GET" else Scope.SUBMIT)


class Place:
    """What stands at a path: who answers which method, what that needs, and what may follow."""

    def __init__(self) -> None:
        self.path = ""  # as its route has it
        self.answers: dict[str, tuple[Handler, Scope | None]] = {}  # by method
        self._below: dict[str, Place] = {}
        self._any: tuple[str, Place] | None = None  # a name for what else may follow, not nothing
        self._anywhere: set[str] = set()  # of those below, what may have anything in front

    def add(self, routes: Iterable[Route], *, anywhere: bool = False) -> None:
        """Have *routes* be answered, also below any prefix if *anywhere*; GET includes HEAD."""
        for route in routes:
            place, parts = self, route.path.split("/")[1:]
            if anywhere:
                self._anywhere.add(parts[0])
            for part in parts:
                place = place._made(part)
            place.path = route.path
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                place.answers[method] = (route.handler, route.needs)

    def _made(self, part: str) -> "Place":
        if not part.startswith("{"):
            return self._below.setdefault(part, Place())
        self._any = self._any or (part[1:-1], Place())
        return self._any[1]

    def at(self, path: str) -> tuple["Place | None", Mapping[str, str]]:
        """What stands at *path*, with or without a slash behind, and what the path names.

        A prefix ends where one of our own names begins: `/jobs/a/backends` is nothing.
        """
        names: dict[str, str] = {}
        plain = path[:-1] if path[-1:] == "/" and path[-2:-1] not in ("", "/") else path
        place, parts = self, plain.split("/")[1:]
        if parts and parts[0] not in self._below:
            parts = parts[next((n for n, part in enumerate(parts) if part in self._anywhere), 0) :]
        for part in parts:
            below = place._below.get(part)
            if below is None:
                if place._any is None or not part or "{" in part or "}" in part:
                    return None, names
                name, below = place._any
                names[name] = part.replace("%2F", "/").replace("%25", "%")  # all else is decoded
            place = below
        return place if place.answers else None, names

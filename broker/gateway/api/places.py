"""Routes as data, and which of them answers what: a tree of the parts that paths have."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from broker.errors import (
    ForbiddenError,
    InvalidRequestError,
    QjbError,
    RateLimitedError,
    TooLargeError,
    TooSlowError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedEncodingError,
)
from broker.gateway.api.asking import SMALL, asked, can_refuse, told, told_in_form
from broker.gateway.api.describing import FORM, Body
from broker.gateway.api.parts import Request
from schemas.tenants import Scope

Handler: TypeAlias = Callable[..., Awaitable[web.StreamResponse]]
Reader: TypeAlias = Callable[[bytes, type[msgspec.Struct]], msgspec.Struct]


OF_CALLERS = (UnauthorizedError, ForbiddenError, RateLimitedError, UnavailableError)
OF_BODIES = (
    InvalidRequestError,
    TooSlowError,
    TooLargeError,
    UnsupportedEncodingError,
    UnavailableError,
)


@dataclass(frozen=True, slots=True)
class Route:
    """One route, all that there is to say about it.

    Its handler gets the request; then what the query says, if `query` is its type; then what the
    body says, if `body` is a struct (a small one, in JSON) or a `Body` of one as a form. All other
    bodies it reads by itself.

    `answers` are by status: a struct (JSON, described by the summary), a `Body`, or a sentence for
    an answer without content.
    """

    method: str
    path: str  # a part `{name}` of it may be anything
    handler: Handler
    name: str = ""
    summary: str = ""
    answers: Mapping[int, "type[msgspec.Struct] | Body | str"] = field(default_factory=dict)
    description: str = ""
    body: "type[msgspec.Struct] | Body | None" = None
    scope: Scope | None = None  # what a caller needs; None: READ for GET, SUBMIT for all else
    is_open: bool = False  # nobody has to say who they are
    query: type[msgspec.Struct] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # that it looks at, and what for
    errors: Sequence[type[QjbError]] = ()  # besides those that follow from all else here

    @property
    def needs(self) -> Scope | None:
        """What a caller must be allowed to do; None if nobody has to say who they are."""
        if self.is_open:
            return None
        return self.scope or (Scope.READ if self.method == "GET" else Scope.SUBMIT)

    @property
    def refusals(self) -> Sequence[type[QjbError]]:
        """All errors by which it refuses a request."""
        found = list(self.errors)
        if self.needs is not None:
            found += OF_CALLERS
        elif self.method != "GET":
            found.append(ForbiddenError)  # a page of another origin
        if self.reads_body:
            found += OF_BODIES
        if self.query and can_refuse(self.query):
            found.append(InvalidRequestError)
        return tuple(dict.fromkeys(found))

    @property
    def reads_body(self) -> bool:
        """Whether it looks at a body at all."""
        return self.told is not None or (isinstance(self.body, Body) and self.body.is_needed)

    @property
    def answer(self) -> Handler:
        """Its handler, which is given what the request says."""
        given = _asking(self.handler, self.query) if self.query else self.handler
        return _told(given, *self.told) if self.told else given

    @property
    def told(self) -> "tuple[type[msgspec.Struct], Reader] | None":
        """As what its handler is given the body, and by whom that is read; None: by the handler."""
        if isinstance(self.body, type):
            return self.body, told
        kinds = self.body.by_media_type if isinstance(self.body, Body) else {}
        return (kinds[FORM], told_in_form) if FORM in kinds else None


def _asking(handler: Handler, kind: type[msgspec.Struct]) -> Handler:
    def answer(request: Request, *more: Any) -> Awaitable[web.StreamResponse]:
        return handler(request, asked(request.query, kind), *more)

    return answer


def _told(handler: Handler, kind: type[msgspec.Struct], read: Reader) -> Handler:
    async def answer(request: Request) -> web.StreamResponse:
        async with request.parts.bodies.read(request, SMALL) as body:
            said = read(body, kind)
        return await handler(request, said)

    return answer


class Place:
    """What stands at a path: who answers which method, what that needs, and what may follow."""

    def __init__(self) -> None:
        self.path = ""  # as its route has it
        self.answers: dict[str, tuple[Handler, Scope | None]] = {}  # by method
        self.methods: set[str] = set()  # that any route of those that were added here takes
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
                place.answers[method] = (route.answer, route.needs)
                self.methods.add(method)

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

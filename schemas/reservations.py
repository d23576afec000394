"""What operators say of whose a backend is for a while."""

from typing import Annotated

import msgspec

from schemas.values import Id, Name

RESERVATION_KEY = b"reservation/"  # how keys of their records begin


class Reservation(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="reservation"):
    """A backend is one tenant's, or one session's of it, from `begin` on and before `end`."""

    id: Id
    backend: Name
    tenant: Name
    begin: str  # ISO 8601, as in messages
    end: str
    created: str
    session: Name = ""  # its id; empty: any job of the tenant
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""  # told to whoever waits
    cancelled: str | None = None  # when; it holds no more

    @property
    def key(self) -> bytes:
        """Of its record."""
        return RESERVATION_KEY + self.id.encode()


class Window(msgspec.Struct, frozen=True, array_like=True):
    """A reservation, as it is told beside a queue."""

    begin: str
    end: str
    tenant: Name
    holds: bool = False  # it has begun
    session: Name = ""
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""

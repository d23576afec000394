"""What operators say of a backend, beside what its workers do."""

import enum
from typing import Annotated

import msgspec

from schemas.values import Name

CALIBRATING = "calibrating"  # what a queue says as its mode while nothing begins for that


class BackendMode(enum.StrEnum):
    """Whether a backend takes jobs, and whether they go on."""

    ACTIVE = "active"
    PAUSED = "paused"  # jobs are taken and wait; what runs goes on
    DRAINING = "draining"  # no jobs are taken; those that wait go on


class BackendOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="backend"):
    """What an operator wants of a backend, until another order."""

    name: Name
    mode: BackendMode
    since: str
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""  # told to whoever waits
    calibrate: Name = ""  # when it was asked for that it be calibrated anew, if it was

    @property
    def key(self) -> bytes:
        """Of its record."""
        return f"backend/{self.name}".encode()

    def __str__(self) -> str:
        return f"{self.name} is {self.mode}{f': {self.why}' if self.why else ''}"

"""What the programs topic says: versions of programs, and which of them is a program's current one.

A version never changes. Its name is a hash of what it is, so that what a job pinned is what runs,
whatever became of the program. Programs that come with this are not on the topic.
"""

import hashlib
from typing import Annotated, TypeAlias

import msgspec
import orjson

from schemas.limits import INLINE
from schemas.specification import Specification
from schemas.values import BlobRef, Id

INLINE_CODE = INLINE // 4  # bytes; what is larger goes to the blob store
VERSION_PATTERN = r"^[0-9a-f]{16}\Z"


class ProgramVersion(msgspec.Struct, frozen=True, tag_field="kind", tag="version"):
    """One version of a program: its specification and its code, in the record or by reference."""

    tenant: Id
    specification: Specification
    created: str
    code: str | None = None
    code_ref: BlobRef | None = None
    retired: str | None = None  # when it ceased to be the current one

    @property
    def version(self) -> str:
        """A hash of what it is: a job pins it, so that a changed program changes no accepted job."""
        if self.code_ref is not None:
            return version_of(self.specification, self.code_ref.sha256)
        return version_of(self.specification, sha256_of((self.code or "").encode()))

    @property
    def key(self) -> bytes:
        """Of its record."""
        return f"{self.specification.id}/{self.version}".encode()


class ProgramHead(msgspec.Struct, frozen=True, tag_field="kind", tag="head"):
    """A program: whose it is, who may see and run it, and its current version."""

    id: Id
    tenant: Id
    version: Annotated[str, msgspec.Meta(pattern=VERSION_PATTERN)]
    created: str
    updated: str
    is_public: bool = False

    @property
    def key(self) -> bytes:
        """Of its record; a record with this key and no value says that the program was deleted."""
        return self.id.encode()


Said: TypeAlias = ProgramVersion | ProgramHead


def sha256_of(code: bytes) -> str:
    """The hash of *code*, in hexadecimal digits, as in a `BlobRef`."""
    return hashlib.sha256(code).hexdigest()


def version_of(specification: Specification, code_sha256: str) -> str:
    """What the version of that specification and code is called."""
    seconds = float(specification.max_execution_time)  # as it is once it was read
    same = msgspec.structs.replace(specification, max_execution_time=seconds)
    ordered = orjson.dumps(msgspec.to_builtins(same), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(ordered + b"\n" + code_sha256.encode()).hexdigest()[:16]

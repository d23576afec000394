"""Errors as the API says them, in the shape that clients of all generations read."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.values import Violation


class ErrorName(msgspec.Struct, frozen=True):
    """What older clients read of an error."""

    code: Annotated[str, Meta(description="Stable, and part of the contract.")]
    message: str
    name: str


class ErrorDetail(msgspec.Struct, frozen=True):
    """What newer clients read: one rule that was broken, or the error itself."""

    code: str
    message: str
    path: Annotated[str, Meta(description="JSON pointer into the request.")] | UnsetType = UNSET
    rule: (
        Annotated[str, Meta(description="The rule that was broken, and what it demands.")]
        | UnsetType
    ) = UNSET
    value: Annotated[str, Meta(description="The offending value, shortened.")] | UnsetType = UNSET


class Error(msgspec.Struct, frozen=True):
    """What is wrong."""

    error: ErrorName
    errors: list[ErrorDetail]
    trace: Annotated[str, Meta(description="Names this request in the logs.")]


def error_name(code: str, message: str) -> ErrorName:
    """The error of that *code*."""
    return ErrorName(code, message, code.upper())


def details(code: str, message: str, violations: Sequence[Violation] = ()) -> list[ErrorDetail]:
    """Each of *violations*, or what is wrong as a whole."""
    return [
        ErrorDetail(code, broken.message or broken.rule, broken.path, broken.rule, broken.value)
        for broken in violations
    ] or [ErrorDetail(code, message)]

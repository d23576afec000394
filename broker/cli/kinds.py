"""What options may be: text that can be sent, finite numbers, within what messages hold to."""

import math
from typing import Any

import click
import msgspec
from msgspec import inspect

from broker.shown import on_one_line

OF_FILES = ("FILE", "[FILE]", "SPEC")  # metavars: a file's name may be any bytes


def check_text(context: click.Context, *, arguments: bool = True) -> None:
    """Raise `click.BadParameter` for an option, or argument, that is no UTF-8 and no file's name.

    Of what is said as `NAME=@FILE`, the file's name is passed over.
    """
    for param in context.command.params:
        if param.metavar in OF_FILES or not (arguments or isinstance(param, click.Option)):
            continue
        said = context.params.get(param.name or "")
        for text in said if isinstance(said, tuple) else (said,):
            if isinstance(text, str) and not _is_utf_8(text.partition("=@")[0]):
                raise click.BadParameter(f"{on_one_line(text)} is no UTF-8.", context, param)


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Finite(click.FloatRange):
    """Numbers within a range, but neither `nan` nor `inf`."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class Text(click.ParamType[str]):
    """Text of so many characters at most."""

    name = "text"

    def __init__(self, most: int) -> None:
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if len(value) > self._most:
            self.fail(f"it has {len(value)} characters, and may have {self._most}.", param, ctx)
        return str(value)


class OrNone(click.ParamType[Any]):
    """What *kind* takes, or the word `none`."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self._kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "none" else self._kind.convert(value, param, ctx)


def integer(least: int | None, most: int | None = None) -> click.IntRange:
    """Integers from *least* on, at most to *most*."""
    kind = click.IntRange(least, most)
    kind.name = "integer"  # else what is none is said to be "no valid integer range"
    return kind


def of_field(kind: type[msgspec.Struct], name: str) -> click.ParamType[Any]:
    """What the field *name* of messages of that *kind* may be: its bounds stand there."""
    fields: tuple[Any, ...] = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    found = next(each.type for each in fields if each.name == name)
    for each in getattr(found, "types", (found,)):
        match each:
            case inspect.StrType(max_length=int(most)):
                return Text(most)
            case inspect.IntType(ge=least, le=most):
                return integer(least, most)
            case inspect.FloatType(ge=least, gt=above, le=most):
                is_open = above is not None
                return Finite(above if is_open else least, most, min_open=is_open)
            case _:
                pass
    raise TypeError(f"{name} has no bounds")

"""The one way by which a command prints: what is foreign in it can not drive the terminal."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from broker.shown import json_visible, visible

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Coloured:
    """A part of a line in a colour, where there are colours."""

    text: str
    colour: str | None


Part = str | Coloured


def say(*parts: Part, err: bool = False, end: bool = True) -> None:
    """Print *parts* as one text, lines as they are; control characters in it are shown."""
    click.echo("".join(map(_painted, parts)), err=err, nl=end)


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Print *value* as JSON, on one line unless *indent* says otherwise."""
    compact = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, separators=compact, indent=indent)
    click.echo(json_visible(text))


def say_json_text(text: str) -> None:
    """Print *text*, which is JSON, as it is but on one line."""
    click.echo(json_visible(text).replace("\n", " "))


def for_rich(*parts: Part) -> "Text":
    """*parts* as rich prints them: nothing in them is markup."""
    from rich.text import Text

    return Text.assemble(*map(_rich, parts))


def _painted(part: Part) -> str:
    if isinstance(part, str):
        return visible(part)
    return click.style(visible(part.text), fg=part.colour)


def _rich(part: Part) -> "str | tuple[str, str]":
    if isinstance(part, str):
        return visible(part)
    return visible(part.text), part.colour or ""

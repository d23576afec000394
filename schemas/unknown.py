"""Names that nobody knows, most likely misspelt: what to say of them, and which may be meant."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

MOST_WARNINGS = 10
LONGEST_NAME = 60  # characters that are quoted
LISTED = 10  # names of those that there are

# What clients of the Qiskit Runtime REST API send along, and what tells a submit from a cancel.
PASSED_OVER = frozenset({"group", "hub", "instance", "kind", "log_level", "project", "runtime"})


def no(kind: str, name: str, known: Collection[str]) -> str:
    """That nothing of that *kind* has that *name*, and some of those that there are."""
    names = sorted(known)
    listed = ", ".join(names[:LISTED])
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    meant = near(name, names) or "."
    return f"there is no {kind} {name[:LONGEST_NAME]!r}{meant} There are: {listed or 'none'}{more}"


def fields(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """What to say of the fields of a request, of which *known* are all that there are."""
    unknown = (name for name in names if name not in known and name not in PASSED_OVER)
    return tuple(
        f"a request has no field {name[:LONGEST_NAME]}{near(name, known)}"
        for name in islice(unknown, MOST_WARNINGS)
    )


def inputs(program_id: str, values: dict[str, Any], schema: dict[str, Any]) -> tuple[str, ...]:
    """What to say of *values* as inputs of a program, of which *schema* lists the names."""
    is_flat = not any(isinstance(value, dict) for value in values.values())
    if is_flat and values.keys() <= schema.get("properties", {}).keys():
        return ()  # most are like that
    unknown = list(islice(_unknown(values, schema, ""), MOST_WARNINGS))
    known = {full.rpartition(".")[2]: full for full in _names(schema, "")} if unknown else {}
    return tuple(
        f"{program_id} has no input {path}{name[:LONGEST_NAME]}"
        f"{near(name, known | {each: path + each for each in beside})}"
        for path, name, beside in unknown
    )


def _unknown(
    values: dict[str, Any], schema: dict[str, Any], path: str
) -> Iterator[tuple[str, str, Collection[str]]]:
    known = schema.get("properties", {})
    if known and not ("additionalProperties" in schema or "patternProperties" in schema):
        yield from ((path, name, known) for name in values if name not in known)
    for name, part in known.items():
        if isinstance(part, dict) and isinstance(inner := values.get(name), dict):
            yield from _unknown(inner, part, f"{path}{name}.")


def _names(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Every name that *schema* lists, what stands deepest first."""
    for name, part in schema.get("properties", {}).items():
        if isinstance(part, dict):
            yield from _names(part, f"{path}{name}.")
    yield from (path + name for name in schema.get("properties", {}))


def near(name: str, known: Collection[str] | Mapping[str, str]) -> str:
    """The end of a sentence about a *name* that is not *known*: which may be meant.

    As a mapping, *known* has how each is called by what it may be written like.
    """
    found = get_close_matches(name[:LONGEST_NAME], known, 1)
    if not found:
        return ""
    called = known[found[0]] if isinstance(known, Mapping) else found[0]
    return f"; did you mean {called}?"

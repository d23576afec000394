"""Errors of jsonschema-rs: what of several schemas, of which one had to allow a value, is meant."""

from typing import Any


def asked(error: Any) -> Any:
    """What the keyword demands that is broken."""
    for name in ("value", "limit"):
        asked = getattr(error.kind, name, None)
        if asked is not None:
            return asked
    return None


def word(error: Any) -> str:
    """The keyword that is broken."""
    return str(error.schema_path[-1]) if error.schema_path else "schema"


def branches(error: Any) -> list[list[Any]]:
    """What each of the schemas finds wrong, of which one had to allow the value."""
    return getattr(error.kind, "context", None) or []


def meant(error: Any) -> list[Any]:
    """*error*, or of several schemas what the only one that is for such a value says."""
    near = [branch for branch in branches(error) if _is_for(branch, error.instance_path)]
    return [one for inner in near[0] for one in meant(inner)] if len(near) == 1 else [error]


def _is_for(branch: list[Any], path: list[Any]) -> bool:
    """Whether a schema that finds this wrong with the value at *path* is for values of its type."""
    return not any(_is_of_type(one, path) for one in branch)


def _is_of_type(error: Any, path: list[Any]) -> bool:
    """Whether what is wrong with the value at *path* is its type."""
    if error.instance_path != path:
        return False
    if several := branches(error):
        return not any(_is_for(branch, path) for branch in several)
    return word(error) == "type"


def types(error: Any) -> list[str]:
    """The types that several schemas are for, if it is of none of them; each once."""
    if not branches(error) or not _is_of_type(error, error.instance_path):
        return []
    inner = [one for branch in branches(error) for one in branch]
    found = [name for one in inner for name in types(one) or _asked_types(one)]
    return list(dict.fromkeys(found))


def _asked_types(error: Any) -> list[str]:
    found = asked(error) if word(error) == "type" else []
    return found if isinstance(found, list) else [str(found)]

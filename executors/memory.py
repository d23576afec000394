"""How much memory the current child may use, as its parent told it."""

_allowed: int | None = None

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def allow(limit: int) -> None:
    """From now on this process may use *limit* bytes."""
    global _allowed
    _allowed = limit


def allowed() -> int | None:
    """How many bytes this process may use; None if nobody said."""
    return _allowed


def told(size: float) -> str:
    """*size* in bytes for people: `5.3 GiB`."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit < 2 else f"{size:.3g} {_UNITS[unit]}"


def exceeded(limit: int | None, detail: str = "") -> str:
    """What to say of a program that needed more than *limit*, where there is one; as *detail* has it
    if that was not the machine's memory.
    """
    if "cuda" in detail.lower():
        return f"the program needed more memory than is free on the GPU ({detail})"
    here = f"the {told(limit)} of memory that a job may use here" if limit else "there is memory"
    return f"the program needed more than {here}" + (f" ({detail})" if detail else "")

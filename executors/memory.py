"""How much memory the current child may use, as its parent told it."""

_allowed: int | None = None


def allow(limit: int) -> None:
    """From now on this process may use *limit* bytes."""
    global _allowed
    _allowed = limit


def allowed() -> int | None:
    """How many bytes this process may use; None if nobody said."""
    return _allowed

"""Every test of a role fails where an event loop is blocked."""

from tests.support.watching import nothing_blocks, watch

__all__ = ["nothing_blocks", "watch"]

"""A log that another process of this user has open, over a Unix socket beside its file.

`server.py` is the side of the process that has it, `log.py` and `follower.py` are the other one;
`frames.py` is what they say. Each follower has a connection of its own, so that one who does not
read holds up nobody.
"""

from broker.transports.unix.log import RemoteLog
from broker.transports.unix.server import LogServer

__all__ = ["LogServer", "RemoteLog"]

"""The head: decides what happens to jobs, and connects clients, workers and the log.

Run by itself, this file says whether this Python is new enough. An old one must be able to read it.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    _found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"The quantum job broker needs Python 3.11 or newer, and this is Python {_found}.")

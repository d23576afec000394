"""The command line: commands that run roles, and commands that talk to a gateway."""

import time

LOADED_AT = time.perf_counter()  # about when the process began: a start is measured from here

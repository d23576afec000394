"""Child processes: the fork server, warm children, pipes."""

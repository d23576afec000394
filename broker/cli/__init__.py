"""The command line: commands that run roles, and commands that talk to a gateway."""

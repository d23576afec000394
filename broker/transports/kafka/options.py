"""How long the log on Kafka waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds."""

    open_within: float = 30.0  # a cluster must be found at first
    look: float = 5.0  # between looks at whether topics have grown, or were made anew
    watch: float = 5.0  # between two looks at a follower that hears nothing
    close_within: float = 10.0  # what is being appended gets at the end

"""What decides on jobs."""

from pydantic import ByteSize, Field

from broker.settings.group import ID, Group


class BrokerSettings(Group):
    """What a broker is called, and how many jobs it knows."""

    broker_id: str = Field(
        "", pattern=ID, description="Name of the broker; by default the host's name and a number"
    )
    book_memory: ByteSize | None = Field(
        None,
        ge=16 * 1024 * 1024,
        description="Memory for live jobs in the broker, beyond which requests wait on the log; by "
        "default a quarter of what is free when it starts, at most 2 GiB",
    )
    known_jobs: int = Field(
        1_000_000,
        ge=1000,
        description="Ended jobs whose ids the broker remembers, so that none is run twice",
    )

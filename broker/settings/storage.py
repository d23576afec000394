"""Where everything is kept, and for how long."""

from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

from platformdirs.unix import Unix
from pydantic import Field, field_validator, model_validator

from broker.durations import FOR_EVER, seconds_in
from broker.settings.group import Group


class StorageSettings(Group):
    """The log, payloads and the data folder. Relative paths start from the working directory."""

    data: Path = Field(
        default_factory=lambda: Unix("qjb").user_data_path,  # the same wherever it runs
        description="Folder for the embedded log, payloads and the gateway's local copy; "
        "by default ~/.local/share/qjb",
    )
    log: str = Field(
        "",
        repr=False,  # there may be a password in it
        description="The log: sqlite:///path, kafka://host:port,… or memory://; "
        "by default the embedded one in the data folder",
    )
    blobs: str = Field(
        "",
        repr=False,
        description="Where large payloads go: a folder or a URL such as s3://bucket/prefix; "
        "by default a folder in the data folder. All roles must see the same",
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Put before every topic's name, so that several installations share a Kafka",
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Partitions of the topics that a role makes and that may have several; "
        "by default 4 on Kafka (8 of the inbox), 1 in the embedded log",
    )
    keep_jobs: str = Field(
        "",
        description="How long jobs and results are kept after their end, such as 90d, 12h or "
        "forever; by default for ever in the embedded log, 90d on Kafka",
    )
    keep_events: str = Field(
        "7d",
        description="How long events are kept: for streams that resume, interim results and logs",
    )
    min_free: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Bytes that must be free where data are kept; with less, submits are refused",
    )

    filled: ClassVar[frozenset[str]] = frozenset({"data", "log", "blobs", "keep_jobs"})

    @field_validator("keep_jobs", "keep_events")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        if value not in ("", FOR_EVER):
            seconds_in(value)
        return value

    @model_validator(mode="after")
    def _completed(self) -> Self:
        """Fill in what follows from the data folder."""
        data = self.data.expanduser().absolute()
        filled = {
            "data": data,
            "log": self.log or f"sqlite:///{quote(str(data))}/log.db",
            "blobs": self.blobs or f"{data}/blobs",
            "keep_jobs": self.keep_jobs or (FOR_EVER if self.is_embedded else "90d"),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the log is on this machine: what it holds is kept for as long as there is room."""
        return not self.log.startswith("kafka")

    @property
    def kept_jobs(self) -> float | None:
        """Seconds that an ended job is kept; None: for ever."""
        return None if self.keep_jobs == FOR_EVER else seconds_in(self.keep_jobs)

    @property
    def kept_events(self) -> float | None:
        """Seconds that an event is kept; None: for ever."""
        return None if self.keep_events == FOR_EVER else seconds_in(self.keep_events)

"""What runs jobs."""

import os
from typing import Literal

from pydantic import ByteSize, Field, field_validator

from broker.settings.group import ID, Group, Words
from executors.hardware.specs import check
from schemas.values import Sandbox


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


class WorkerSettings(Group):
    """What a worker offers, and how much of its machine jobs may use."""

    slots: int = Field(
        default_factory=_cores,
        ge=1,
        le=1024,
        description="Attempts that a worker runs at once; by default as many as there are cores",
    )
    memory: ByteSize | None = Field(
        None,
        ge=64 * 1024 * 1024,
        description="Memory that the jobs of a worker may use, shared by its slots, such as 12GiB; "
        "by default what is free when it starts, but for 1 GiB or a quarter",
    )
    worker_id: str = Field(
        "",
        pattern=ID,
        description="Name of the worker, the same after every start; by default the host's name, "
        "with a number from the second worker on a host on",
    )
    executor: Literal["simulator", "scripted"] = Field(
        "simulator",
        description="What runs programs: simulator; or scripted, for drills: a job takes as many "
        "seconds as its input iterations says",
    )
    backends: Words = Field(
        (),
        description="Devices that a worker offers beside, with commas between: "
        "name=module:function?slots=1&env=TOKEN&argument=value; see devices.md",
    )
    sandbox: Sandbox = Field(
        Sandbox.FULL,
        description="The least sandbox in which programs that users have uploaded run on a worker: "
        "full; reduced, where the host allows no namespaces or has no Landlock; or off",
    )
    grace: float = Field(
        30.0, ge=0, description="Seconds that running jobs get to finish when a worker stops"
    )

    @field_validator("backends")
    @classmethod
    def _are_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            check(text)
        return value

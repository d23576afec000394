"""What is answered of backends."""

from typing import Literal

import msgspec

from broker.gateway.api.describing import Whole


class BackendStatus(msgspec.Struct, frozen=True):
    """Whether a backend takes jobs, and how many wait."""

    state: bool
    status: Literal["active", "offline"]
    message: str
    length_queue: Whole
    backend_version: str
    running: Whole
    slots: Whole

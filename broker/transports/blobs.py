"""The blob store: payloads that are too large for a record, addressed by what they contain."""

from typing import Protocol

from schemas.values import BlobRef


class Blobs(Protocol):
    """Keeps payloads. What was put can be got by everybody who knows the reference."""

    async def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Store *data*, durably; the same data twice is stored once. Raises `UnavailableError`."""

    async def get(self, ref: BlobRef) -> bytes:
        """The data that *ref* names, checked against its hash. Raises `PayloadMissingError`."""

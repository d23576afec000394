"""Inline or by reference: the 256 KiB rule, in one place."""

import msgspec

from broker.transports.blobs import Blobs
from schemas.limits import INLINE
from schemas.values import NOTHING, BlobRef


async def stow(value: bytes, blobs: Blobs) -> tuple[msgspec.Raw, BlobRef | None]:
    """JSON text as what goes into a message: inline if it is small, else by reference."""
    if len(value) <= INLINE:
        return msgspec.Raw(value), None
    return NOTHING, await blobs.put(value)


async def fetch(value: msgspec.Raw, ref: BlobRef | None, blobs: Blobs) -> bytes:
    """The JSON text, wherever it is. Raises `PayloadMissingError`."""
    return bytes(value) if ref is None else await blobs.get(ref)

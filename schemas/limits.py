"""Limits that several modules hold to. What one module alone bounds stands there.

These say what may travel and where it is looked at. What may be held in memory is in
`broker.budget`, and what a job's inputs may unpack to in `executors.limits`.
"""

import msgspec

KIB = 1024
MIB = 1024 * KIB

# Bytes of a request that is read on an event loop. Larger ones are judged in the helper process
# (`broker.judging`), and the broker takes none of them out of turn (`broker.ledger.inputs`).
SMALL_REQUEST = 16 * KIB

# Bytes of inputs or of a result that travel in a message. Larger ones go to the blob store: gateways
# and workers put them there (`broker.payloads`). Their digest is over their hash (`specification`).
INLINE = 256 * KIB

# Bytes of inputs that are held against their schema before the job is accepted
# (`broker.ledger.preparing`). Larger ones are checked by the worker, or its child, before they run.
CHECKED_BEFORE = 8 * MIB

# Bytes of JSON of a message or of a piece of output in a report (`broker.worker.reports`) or an event
# (`broker.core.decide`). Of a longer one the end is kept. Also of all rules that a report says were
# broken, together.
LONGEST_TEXT = 64 * KIB

# Bytes of key, value and headers that one record may take in every log (`broker.transports`): under
# Kafka's default of 1 MiB for a batch with its overhead. Who appends holds to it.
LARGEST_RECORD = 1_000_000

# Bytes of a program's code (`schemas.uploads`, `broker.judging.code`): to read its imports takes up to
# 600 times as much memory.
LARGEST_CODE = MIB

# Bytes of an HTTP request's body, unless `QJB_MAX_BODY` says otherwise (`broker.gateway`).
LARGEST_BODY = 64 * MIB


def shortened(text: str) -> str:
    """*text* as it may travel: the end of it, behind an ellipsis, if it is too long."""
    if _bytes_of(text) <= LONGEST_TEXT:
        return text
    kept = "… " + text[-LONGEST_TEXT:]
    while (size := _bytes_of(kept)) > LONGEST_TEXT:
        kept = "… " + kept[-(len(kept) * LONGEST_TEXT // size) + 2 :]
    return kept


def _bytes_of(text: str) -> int:
    """How many bytes of JSON *text* is, between its quotes; no more than six for each character."""
    if 6 * len(text) <= LONGEST_TEXT:
        return 6 * len(text)
    return len(msgspec.json.encode(text)) - 2

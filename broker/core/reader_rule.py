"""Which records of the ledger count: one rule for recovery, for gateways and for everyone else."""

from dataclasses import dataclass

from schemas.ledger import Claim, Entry, SessionEntry


def counts(epoch: int, seq: int, newest_claim: int, last_seq: int) -> bool:
    """Whether a record is history: no lost broker wrote it, and it is the next of what it is about."""
    return epoch >= newest_claim and seq == last_seq + 1


@dataclass(slots=True)
class PartitionReader:
    """Applies the rule along one partition of the ledger, which is read in order."""

    newest_claim: int = 0
    holder: str = ""  # the broker whose claim is the newest

    def claim(self, claim: Claim) -> bool:
        """Take note of *claim*; whether it is the first with its epoch, and so counts."""
        if claim.epoch <= self.newest_claim:
            return False
        self.newest_claim, self.holder = claim.epoch, claim.broker
        return True

    def permits(self, epoch: int) -> bool:
        """Whether what was written with *epoch* was not written by a lost broker."""
        return epoch >= self.newest_claim

    def counts(self, entry: Entry | SessionEntry, last_seq: int) -> bool:
        """Whether *entry* is history, for a job or session whose last event had number *last_seq*."""
        return counts(entry.epoch, entry.event.seq, self.newest_claim, last_seq)

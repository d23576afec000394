"""The broker role: the one writer of the ledger."""

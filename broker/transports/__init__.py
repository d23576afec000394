"""Where records and payloads live: one protocol, three logs, and the blob store."""

"""The words: every message that travels between clients, broker, workers and gateways."""

"""The worker role: connects executors to the log."""

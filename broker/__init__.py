"""The head: decides what happens to jobs, and connects clients, workers and the log."""

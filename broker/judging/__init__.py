"""Requests and inputs that are not small are judged in a process of its own, one at a time."""

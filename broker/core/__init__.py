"""Decisions: plain functions over plain values, with no loop, no I/O and no clock."""

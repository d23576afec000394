"""Walls around a process: what a program that a stranger wrote can see and do."""

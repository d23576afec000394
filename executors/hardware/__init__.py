"""Devices: programs run in children, and what they ask of a device goes to its vendor."""

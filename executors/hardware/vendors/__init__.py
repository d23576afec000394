"""Vendors, each reached by its own SDK: what runs in the process of a device, and nowhere else."""

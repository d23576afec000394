"""Run as a script by another Python: the process of a device whose SDK wants other packages than ours.

That environment keeps its own packages. From here it gets `executors` and `schemas`, as they are on
the worker's side, and nothing that is installed beside them.
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = str(Path(__file__).resolve().parents[2])
OURS = ("executors", "schemas")


class Ours:
    """Finds our packages, and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """One of `OURS`, where this file is."""
        return PathFinder.find_spec(name, [ROOT]) if name in OURS else None


if __name__ == "__main__":
    sys.meta_path.insert(0, Ours)
    runpy.run_module("executors.hardware.vendors.serving", run_name="__main__", alter_sys=True)

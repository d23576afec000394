"""GPUs: which there may be here, and which one the children of a fork server simulate on."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

NAME = "aer_simulator_gpu"  # of the backend
MOST = 64  # of one machine

_DEVICE = re.compile(r"nvidia\d+")
_used: "Gpu | None" = None


class Gpu(msgspec.Struct, frozen=True):
    """A GPU, by the *name* that CUDA finds it by, and its *memory* in MiB (0: nobody said)."""

    name: str
    memory: int = 0


def use(gpu: Gpu | None) -> None:
    """From now on this process, and what it forks, simulates on *gpu*, too."""
    global _used
    _used = gpu


def used() -> Gpu | None:
    """The GPU of this process; None where it simulates on processors only."""
    return _used


def visible(variables: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The names of the GPUs that there may be, of those that *variables* let CUDA see.

    Nobody is asked: what has no driver's file among the *devices* has none.
    """
    try:
        files = {path.name for path in devices.iterdir()}
    except OSError:
        return ()
    number = sum(_DEVICE.fullmatch(name) is not None for name in files)
    number = min(MOST, number or int("dxg" in files))  # which is all that Linux has in Windows
    listed = variables.get("CUDA_VISIBLE_DEVICES")
    if number == 0 or listed is None:
        return tuple(map(str, range(number)))
    names = [name.strip() for name in listed.split(",")]
    end = next((at for at, name in enumerate(names) if name in ("", "-1")), len(names))
    return tuple(dict.fromkeys(names[: min(end, MOST)]))  # CUDA looks no further either

"""Makers of devices, as an installation has them: one that is right, and those that are not."""

import sys
import threading
from typing import Any


def manila() -> Any:
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    return FakeManilaV2()


def raises() -> Any:
    raise ConnectionError("the laboratory has no door")


def nonsense() -> Any:
    return {"qubits": 5}


def leaves() -> Any:
    sys.exit(7)


def hangs() -> Any:
    threading.Event().wait()

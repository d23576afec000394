"""Devices that vendors' Qiskit providers simulate offline, as an installation would name them."""

from typing import Any


def aqt() -> Any:
    from qiskit_aqt_provider import AQTProvider

    return AQTProvider().offline.ideal()


def braket() -> Any:
    from qiskit_braket_provider import BraketLocalBackend

    return BraketLocalBackend()


def alice_and_bob() -> Any:
    from qiskit_alice_bob_provider import AliceBobLocalProvider

    return AliceBobLocalProvider().get_backend("EMU:6Q:PHYSICAL_CATS")

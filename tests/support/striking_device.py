"""Devices that kill a process of their system at a step of a call, once, where they are ordered to.

Their vendor keeps its books in the file that the variable `TELLS` or `SILENT` says; orders stand
beside it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit

from executors.backends.described import Outcomes
from executors.hardware.vendors.drill import DrillDevice, Manners
from executors.hardware.vendors.vendor import Status
from tests.support.striking import Orders, orders_beside

QUEUE = 0.3  # s that a job waits at the vendor


class StrikingDevice(DrillDevice):
    """The device for drills, that strikes where it is ordered to."""

    def __init__(self, manners: Manners, orders: Orders) -> None:
        super().__init__(manners)
        self._orders = orders
        self._looks: dict[str, int] = {}  # at each job, so far

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        self._orders.strike("before it is taken")
        taken = super().submit(circuits, options, tag)
        self._orders.strike("after it is taken")
        return taken

    def status(self, vendor_job_id: str) -> Status:
        found = super().status(vendor_job_id)
        looks = self._looks[vendor_job_id] = self._looks.get(vendor_job_id, 0) + 1
        self._orders.strike("first look" if looks == 1 else "second look")
        return found

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        found = super().result(vendor_job_id)
        self._orders.strike("after the result")
        return found


def tells() -> StrikingDevice:
    """One whose vendor finds calls by their tag."""
    return _device(os.environ["TELLS"], finds=True)


def silent() -> StrikingDevice:
    """One whose vendor can not be asked for them."""
    return _device(os.environ["SILENT"], finds=False)


def _device(books: str, *, finds: bool) -> StrikingDevice:
    return StrikingDevice(Manners(books, queue=QUEUE, finds=finds), Orders(orders_beside(books)))

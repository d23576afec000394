"""The device for drills, which is stubborn as well: by files beside its books.

While there is `holds`, the vendor does not let go of its first job; where there is `hangs`, what it
is asked for next never returns, once.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from executors.hardware.said import AwayError
from executors.hardware.specs import DeviceSpec
from executors.hardware.vendors import drill
from tests.support.devices import Books


class Stubborn(drill.DrillDevice):
    def __init__(self, manners: drill.Manners) -> None:
        super().__init__(manners)
        self._folder = Path(manners.books).parent

    def cancel(self, vendor_job_id: str) -> None:
        if vendor_job_id == "1" and (self._folder / "holds").exists():
            raise AwayError("503: not that one")
        super().cancel(vendor_job_id)

    def calibration(self) -> str | None:
        self._perhaps_hang()
        return super().calibration()

    def find(self, tag: str) -> str | None:
        self._perhaps_hang()
        return super().find(tag)

    def _perhaps_hang(self) -> None:
        hangs = self._folder / "hangs"
        if hangs.exists():
            hangs.unlink()
            threading.Event().wait()


def device() -> Stubborn:
    return Stubborn(drill.device()._manners)


def stubborn(books: Books, **manners: Any) -> DeviceSpec:
    """With the manners of the one for drills."""
    return replace(books.spec(**manners), made_by="tests.support.stubborn:device")

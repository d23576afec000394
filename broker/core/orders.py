"""What operators want of backends, and what follows from it for jobs."""

from collections.abc import Mapping
from typing import TypeAlias

from broker.core.moments import moment
from broker.core.roster import KnownWorker, Roster
from schemas.backends import CALIBRATING, BackendMode, BackendOrder

CALIBRATED_WITHIN = 3600.0  # s after it was asked for; later nobody waits for it
Orders: TypeAlias = Mapping[str, BackendOrder]


def mode_of(backend: str, orders: Orders) -> BackendMode:
    """Whether *backend* takes jobs, and whether they go on."""
    order = orders.get(backend)
    return order.mode if order else BackendMode.ACTIVE


def shown(backend: str, roster: Roster, orders: Orders) -> tuple[str, str]:
    """What *backend* does, beside what its workers do, and why."""
    order = orders.get(backend)
    mode = mode_of(backend, orders)
    if backend in roster.calibrating and mode is not BackendMode.PAUSED:
        return CALIBRATING, "it is being calibrated"
    return mode, order.why if order else ""


def to_calibrate(roster: Roster, orders: Orders, time: float) -> list[tuple[KnownWorker, str, str]]:
    """Which workers are to be told to calibrate which backends, and when that was asked for.

    What was asked for long before *time* (Unix) is let be, as is what has been done.
    """
    due = []
    for name, order in orders.items():
        backend, asked = roster.backends.get(name), moment(order.calibrate, None)
        if backend is None or asked is None or time - asked > CALIBRATED_WITHIN:
            continue
        first = roster.offering(name)[:1]
        is_done = backend.calibrated is not None and backend.calibrated >= asked
        if is_done or not first or first[0].calibrates.get(name) == order.calibrate:
            continue
        due.append((first[0], name, order.calibrate))
    return due


def away(roster: Roster, orders: Orders) -> Mapping[str, str]:
    """The backends on which nothing begins, each with why."""
    found = {name: f"{name} is being calibrated" for name in roster.calibrating}
    found |= {name: f"no worker that is heard offers {name}" for name in roster.lost}
    for name, order in orders.items():
        if order.mode is BackendMode.PAUSED:
            found[name] = str(order)
    return found

"""Why a job waits: each reason, and which of several is told."""

from dataclasses import replace

import pytest

from broker.core.waiting import BackendState, Place, Waits, backend_state, why
from schemas.values import State
from tests.support.processes import ROOT

FREE = Place(state=State.QUEUED, tenant="chem", backend="aer", slots=2, free=1)
REASONS = (  # from what is told first on
    ({"has_broker": False}, Waits.NO_BROKER, "no broker is active"),
    ({"backend": "", "is_known": False}, Waits.NO_BACKEND, "no backend that is known"),
    ({"mode": "paused", "order": "until noon"}, Waits.PAUSED, "aer is paused: until noon"),
    ({"is_online": False}, Waits.LOST, "no worker that is heard offers aer"),
    ({"mode": "calibrating"}, Waits.CALIBRATING, "aer is being calibrated"),
    ({"reserved_until": "noon"}, Waits.RESERVED, "aer is reserved until noon"),
    ({"is_held": True}, Waits.SESSION, "aer is held by a session"),
    ({"spent": 60.0}, Waits.BUDGET, "tenant chem may use 60 device seconds in 28 days and has"),
    ({"limit": 3}, Waits.QUOTA, "tenant chem may have 3 running jobs; one of them has to end"),
    ({"retry_at": "noon", "retry": "lost"}, Waits.RETRY, "it is tried again at noon: lost"),
    ({"ahead": 1}, Waits.TURN, "1 job goes first on aer"),
    ({"free": 0}, Waits.SLOT, "it is next on aer; all its 2 slots are taken"),
    ({"reserved_from": "noon", "reserved_why": "a course"}, Waits.RESERVED, "aer is reserved from"),
    ({}, Waits.STARTING, "it is next, and aer has a free slot"),
)


@pytest.mark.parametrize(("said", "code", "message"), REASONS)
def test_a_job_that_waits_says_why(said: dict[str, object], code: Waits, message: str) -> None:
    wait = why(replace(FREE, **said))

    assert wait is not None
    assert wait.code is code
    assert wait.message.startswith(message)


@pytest.mark.parametrize("first", range(len(REASONS)))
def test_of_several_reasons_the_one_that_lasts_longest_is_told(first: int) -> None:
    everything: dict[str, object] = {}
    for said, *_ in reversed(REASONS[first:]):
        everything |= said

    wait = why(replace(FREE, **everything))

    assert wait is not None
    assert wait.code is REASONS[first][1]


def test_a_job_of_which_nobody_knows_how_many_go_first_waits_for_its_turn() -> None:
    wait = why(replace(FREE, ahead=None))

    assert wait is not None
    assert wait.code is Waits.TURN


@pytest.mark.parametrize("state", set(State) - {State.QUEUED})
def test_what_is_not_queued_waits_for_nothing_but_an_operator(state: State) -> None:
    assert why(replace(FREE, state=state, ahead=3)) is None
    parked = why(replace(FREE, state=State.RUNNING, is_parked=True))
    assert parked is not None
    assert parked.code is Waits.OPERATOR


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({}, BackendState.ONLINE),
        ({"mode": "draining"}, BackendState.DRAINING),
        ({"mode": "draining", "is_online": False}, BackendState.LOST),
        ({"mode": "paused", "is_online": False}, BackendState.PAUSED),
        ({"mode": "calibrating"}, BackendState.CALIBRATING),
        ({"mode": "calibrating", "is_online": False}, BackendState.LOST),
        ({"is_online": False, "is_known": False}, BackendState.UNKNOWN),
    ],
)
def test_a_backend_is_what_was_ordered_and_what_is_seen_of_it(
    said: dict[str, object], state: BackendState
) -> None:
    assert backend_state(replace(FREE, **said)) is state


def test_the_docs_name_every_reason() -> None:
    told = (ROOT / "docs" / "scheduling.md").read_text()

    assert [code for code in Waits if f"| `{code}` |" not in told] == []

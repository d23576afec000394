"""Requests that are taken aside, and those for the same job that come behind them."""

from collections.abc import Sequence

from msgspec import Raw

from broker.core.inputs import CancelAsked, Request, SessionAsked, Submitted
from broker.core.roster import Roster
from broker.judging.judge import Judge
from broker.ledger.preparing import Preparation
from broker.library import Library
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from schemas.ledger import InputPosition
from schemas.requests import CloseSession, SubmitJob
from schemas.sessions import session_key
from schemas.values import BlobRef, JobKey
from schemas.workers import BackendAnnounced
from tests.support.awaiting import eventually
from tests.support.broker import hello_world

KEY = JobKey("default", "j1")


def backend(name: str) -> BackendAnnounced:
    return BackendAnnounced(
        name=name, simulator=True, num_qubits=5, description="", configuration=Raw(b"{}")
    )


def at(offset: int) -> InputPosition:
    return InputPosition("requests", 0, offset)


async def test_a_cancel_waits_until_the_job_that_was_prepared_is_decided() -> None:
    roster, given = Roster(), list[Request]()
    roster.announce(backend("aer"))

    def give_back(items: Sequence[Request]) -> None:
        given.extend(items)

    library = Library(MemoryLog(), [hello_world()])
    preparation = Preparation(open_blobs("memory:///"), library, roster, give_back, Judge())
    submit = Submitted(at(1), KEY, SubmitJob(program_id="hello-world", backend="late"))
    assert preparation.takes(submit)
    roster.announce(backend("late"))
    await eventually(lambda: bool(given))
    assert given == [submit]

    cancel = CancelAsked(at(2), KEY)  # comes while there is no time for what was prepared
    assert preparation.takes(cancel)
    preparation.done(submit)
    assert given == [submit, cancel]

    preparation.done(cancel)
    assert not preparation.pending
    assert not preparation.takes(CancelAsked(at(3), KEY))


async def test_who_asks_again_for_a_job_that_is_being_prepared_holds_nobody_up_later() -> None:
    roster, given = Roster(), list[Request]()
    roster.announce(backend("aer"))
    library = Library(MemoryLog(), [hello_world()])
    preparation = Preparation(open_blobs("memory:///"), library, roster, given.extend, Judge())
    body = SubmitJob(program_id="hello-world", backend="late")
    first, again = Submitted(at(1), KEY, body), Submitted(at(2), KEY, body)
    assert preparation.takes(first)
    assert preparation.takes(again)
    roster.announce(backend("late"))
    await eventually(lambda: bool(given))
    assert given == [first, again]

    preparation.done(first)
    preparation.done(again)
    assert not preparation.takes(CancelAsked(at(3), KEY))


async def test_a_session_is_closed_once_its_job_is_refused_whose_inputs_are_not_there() -> None:
    roster, given = Roster(), list[Request]()
    roster.announce(backend("aer"))
    library = Library(MemoryLog(), [hello_world()])
    preparation = Preparation(open_blobs("memory:///"), library, roster, given.extend, Judge())
    body = SubmitJob("hello-world", backend="aer", session_id="s", params_ref=BlobRef("0" * 64, 9))
    close = SessionAsked(at(2), session_key("default", "s"), "s", CloseSession("s"))
    assert preparation.takes(Submitted(at(1), KEY, body))
    assert preparation.takes(close)
    await eventually(lambda: bool(given))
    (refused,) = given

    preparation.done(refused)

    assert given == [refused, close]
    preparation.done(close)
    assert not preparation.pending

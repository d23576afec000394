"""The routes of sessions."""

from broker.errors import (
    SessionClosedError,
    SessionExistsError,
    TooManySessionsError,
    UnknownBackendError,
    UnknownSessionError,
)
from broker.gateway.api import sessions
from broker.gateway.api.generations import CLIENT
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_sessions import (
    SessionChange,
    SessionPage,
    SessionsAsked,
    SessionToOpen,
    ShownSession,
)

SESSIONS = (
    Route(
        "GET",
        "/sessions",
        sessions.listing,
        "listSessions",
        "List sessions, the newest first",
        {200: SessionPage},
        query=SessionsAsked,
    ),
    Route(
        "POST",
        "/sessions",
        sessions.open_,
        "openSession",
        "Open a session: jobs on one backend that belong together",
        {200: ShownSession},
        description="Safe to repeat with a `session_id` of your own: the same one twice is one"
        " session. Without a backend the broker picks one.",
        body=SessionToOpen,
        errors=(
            UnknownBackendError,
            SessionExistsError,
            TooManySessionsError,
        ),
    ),
    Route(
        "GET",
        "/sessions/{session_id}",
        sessions.details,
        "getSession",
        "A session, as it stands",
        {200: ShownSession},
        errors=(UnknownSessionError,),
    ),
    Route(
        "PATCH",
        "/sessions/{session_id}",
        sessions.change,
        "changeSession",
        "Close a session: it takes no more jobs, and ends with the last of those that it has",
        {200: ShownSession},
        body=SessionChange,
        errors=(UnknownSessionError, SessionClosedError),
    ),
    Route(
        "DELETE",
        "/sessions/{session_id}/close",
        sessions.delete,
        "cancelSession",
        "Cancel a session, with its jobs that are queued or run",
        {204: "It takes no more jobs, and ends."},
        description="`qiskit-ibm-runtime` until 0.12 closes by it, and so it only does for those.",
        headers={CLIENT: "Which release asks."},
        errors=(UnknownSessionError,),
    ),
)

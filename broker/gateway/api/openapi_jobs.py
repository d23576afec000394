"""The routes of jobs and of their events, as the API's description has them."""

from broker.gateway.api.describing import (
    ANY,
    SECONDS,
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_object,
    as_json,
    header,
    of_type,
    operation,
    query,
    ref,
    text,
)
from schemas.requests import MAX_TAGS

_STREAM_HELP = (
    "Server-sent events. The first block carries only an id: where the stream resumes. Then"
    " history, then live, without gap or repeat. `id:` is the position, `event:` the kind, `data:`"
    " the event's JSON. Events older than what is kept: `event: gap`."
)


_HELLO = {"program_id": "hello-world", "params": {"iterations": 3}}
_BELL = {
    "program_id": "sampler",
    "params": {
        "circuits": (
            'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; '
            "h q[0]; cx q[0], q[1]; c = measure q;"
        ),
        "run_config": {"shots": 1024},
    },
}


_EXCLUDE = query(
    "exclude_params", text(), "`true` leaves the inputs out; anything else shows them."
)
TAGS = query(
    "tags",
    a_list(text()) | {"maxItems": MAX_TAGS},
    "Jobs with this tag; several: with all of them.",
)
ONE_TAG = query("tag", a_list(text()) | {"maxItems": MAX_TAGS}, "The same as `tags`.")
PROGRAM = query("program", text(), "Jobs of this program.")
SESSION = query("session_id", text(), "Jobs of this session.")
LIMIT = query("limit", WHOLE, "At most so many; 0: none, only the count.")
OFFSET = query("offset", WHOLE, "Leave out so many from the start.")
_GONE = "There is no such job."


def of_jobs() -> list[tuple[str, str, Schema]]:
    """Method, path and description of the routes of jobs."""
    accepted = an_object(
        "id backend",
        id=text(),
        backend=text(),
        session_id=text(),
        warnings=a_list(text()),
    )
    refused = an_object(
        "status error errors",
        status=WHOLE,
        error=an_object("code message", code=text(), message=text(), name=text()),
        errors=a_list(an_object("code message")),
    )
    several = an_object(
        "jobs accepted refused",
        jobs=a_list({"anyOf": [accepted, refused]}),
        accepted=WHOLE,
        refused=WHOLE,
    )
    return [
        (
            "post",
            "/jobs",
            operation(
                "submitJob",
                "jobs",
                "Submit a job",
                {
                    "200": as_json(
                        "It is on the log, for good. Of several jobs, what became of each.",
                        {"anyOf": [accepted, several]},
                    ),
                    "400": as_json("Inputs or request are invalid.", ref("Error")),
                    "404": as_json("There is no such program.", ref("Error")),
                    "409": as_json("The id is another job's.", ref("Error")),
                    "413": as_json("The body is too large.", ref("Error")),
                    "503": as_json("The log can not be reached.", ref("Error")),
                },
                [header("traceparent", "The trace that the job belongs to (W3C).")],
                description=(
                    "`job_id` is the client's idempotency key: the same id twice is one job, and 409 if"
                    " something else is asked for with it. `warnings` names what nobody knows. An"
                    " object that begins with `jobs`, and JSON Lines, ask for several jobs: each of"
                    " them is accepted or refused by itself."
                ),
                requestBody={
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"anyOf": [ref("SubmitJob"), ref("SubmitJobs")]},
                            "examples": {"hello": {"value": _HELLO}, "bell": {"value": _BELL}},
                        },
                        "application/x-ndjson": {
                            "schema": text("A `SubmitJob` in each line."),
                        },
                    },
                },
            ),
        ),
        (
            "get",
            "/jobs",
            operation(
                "listJobs",
                "jobs",
                "List jobs, newest first",
                {"200": as_json("A page of jobs.", ref("JobPage"))},
                [
                    LIMIT,
                    OFFSET,
                    query(
                        "cursor",
                        text(),
                        "Go on from here: the `next` of the page before, with the same filters and"
                        " order. Beats `offset` where jobs come and go.",
                    ),
                    query("sort", text(enum=["ASC", "DESC"]), "`ASC`: oldest first."),
                    query("pending", YES_OR_NO, "Jobs that have not ended, or that have."),
                    query("backend", text(), "Jobs on this backend."),
                    query("created_after", text(format="date-time"), "Younger jobs."),
                    query("created_before", text(format="date-time"), "Older jobs."),
                    PROGRAM,
                    SESSION,
                    TAGS,
                    ONE_TAG,
                    _EXCLUDE,
                ],
            ),
        ),
        (
            "get",
            "/jobs/{job_id}",
            operation(
                "getJob",
                "jobs",
                "Look at a job",
                {"200": as_json("The job.", ref("Job")), "404": as_json(_GONE, ref("Error"))},
                [_EXCLUDE],
            ),
        ),
        (
            "post",
            "/jobs/{job_id}/cancel",
            operation(
                "cancelJob",
                "jobs",
                "End a job as soon as possible",
                {
                    "204": {"description": "It is being ended."},
                    "404": as_json(_GONE, ref("Error")),
                    "409": as_json("It has ended already.", ref("Error")),
                },
            ),
        ),
        (
            "delete",
            "/jobs/{job_id}",
            operation(
                "deleteJob",
                "jobs",
                "Forget a job that has ended, with all that it brought",
                {
                    "204": {"description": "It is being forgotten."},
                    "404": as_json(_GONE, ref("Error")),
                    "409": as_json("It has not ended.", ref("Error")),
                },
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/queue",
            operation(
                "getQueue",
                "jobs",
                "Why a job waits, and for how long",
                {"200": as_json("Where it stands.", ref("Queue"))},
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/results",
            operation(
                "getResult",
                "results",
                "The final result",
                {
                    "200": {
                        "description": (
                            "The result, in the Runtime JSON encoding; of a job that failed: why,"
                            " as text."
                        ),
                        "content": {
                            "application/json": {"schema": ANY},
                            "text/plain": {"schema": text()},
                        },
                    },
                    "204": {"description": "There is none, yet or at all."},
                    "206": of_type("The part that was asked for.", "application/json", ANY),
                    "304": {"description": "It is what the client has."},
                    "416": as_json("The part begins behind the end.", ref("Error")),
                },
                [
                    header("Range", "One part of it, such as `bytes=0-99`."),
                    header("If-None-Match", "The `ETag` of what the client has."),
                ],
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/interim_results",
            operation(
                "getInterimResults",
                "results",
                "The interim results so far",
                {
                    "200": as_json(
                        "Each item is one message's own JSON text.",
                        a_list(text(contentMediaType="application/json")),
                    )
                },
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/logs",
            operation(
                "getLog",
                "results",
                "What the program wrote",
                {"200": of_type("Standard output and error.", "text/plain")},
            ),
        ),
    ]


def of_events() -> list[tuple[str, str, Schema]]:
    """The same of the routes of events."""
    position = [
        header("Last-Event-ID", "Go on after this event."),
        query(
            "last_event_id",
            text(),
            "The same for clients that can not send the header."
            " `lastEventId`, `Last-Event-ID` and `evs_last_event_id` mean this, too; of several,"
            " the last counts. The header beats them.",
        ),
        query("after", text(), "Pages: go on after this position."),
        query("wait", SECONDS, "Pages: wait so many seconds for an event (at most 60)."),
    ]
    stream = of_type(_STREAM_HELP, "text/event-stream", text())

    def answers(page: str) -> dict[str, Schema]:
        both = {"description": _STREAM_HELP, "content": {}}
        both["content"] = {**stream["content"], "application/json": {"schema": ref(page)}}
        return {
            "200": both,
            "204": {"description": "The stream has ended: nothing follows. Do not reconnect."},
            "400": as_json("The position is malformed.", ref("Error")),
            "503": as_json("The position has not been reached here.", ref("Error")),
        }

    return [
        (
            "get",
            "/jobs/{job_id}/events",
            operation(
                "followJob",
                "events",
                "The events of a job, as a stream or page by page",
                answers("JobEventPage"),
                position,
                description=(
                    "Positions are event numbers; also `start` (the default) and `now`. With"
                    " `Accept: application/json`: a page. After the last event: `event: end`."
                ),
            ),
        ),
        (
            "get",
            "/events",
            operation(
                "followJobs",
                "events",
                "The events of all jobs that match",
                answers("EventPage"),
                [TAGS, ONE_TAG, PROGRAM, SESSION, *position],
                description=(
                    "Positions are vectors such as `0.12-1.7`, good on every gateway; also"
                    " `start` (the default of pages) and `now` (the default of streams)."
                ),
            ),
        ),
    ]

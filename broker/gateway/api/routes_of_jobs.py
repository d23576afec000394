"""The routes of jobs, of what they bring, and of their events."""

from broker.gateway.api import events, jobs, results
from broker.gateway.api.describing import (
    ANY,
    SECONDS,
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_error,
    an_object,
    as_json,
    header,
    of_type,
    query,
    ref,
    text,
)
from broker.gateway.api.places import Route
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

# Parameters that several routes have

_EXCLUDE = query(
    "exclude_params", text(), "`true` leaves the inputs out; anything else shows them."
)
_TAGS = query(
    "tags",
    a_list(text()) | {"maxItems": MAX_TAGS},
    "Jobs with this tag; several: with all of them.",
)
_ONE_TAG = query("tag", a_list(text()) | {"maxItems": MAX_TAGS}, "The same as `tags`.")
_PROGRAM = query("program", text(), "Jobs of this program.")
_SESSION = query("session_id", text(), "Jobs of this session.")
MOCKS = query("include_mocks", YES_OR_NO, "Dry runs and their backends, too.")
LIMIT = query("limit", WHOLE, "At most so many; 0: none, only the count.")
OFFSET = query("offset", WHOLE, "Leave out so many from the start.")
_POSITION = (
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
)

# Answers

_NO_JOB = an_error("There is no such job.")
_ACCEPTED = an_object(
    "id backend",
    id=text(),
    backend=text(),
    session_id=text(),
    warnings=a_list(text()),
)
_REFUSED = an_object(
    "status error errors",
    status=WHOLE,
    error=an_object("code message", code=text(), message=text(), name=text()),
    errors=a_list(an_object("code message")),
)
_SEVERAL = an_object(
    "jobs accepted refused",
    jobs=a_list({"anyOf": [_ACCEPTED, _REFUSED]}),
    accepted=WHOLE,
    refused=WHOLE,
)


def _followed(page: str) -> dict[int, Schema]:
    """What is answered to one who asks for events: a stream, or a *page*."""
    both = of_type(_STREAM_HELP, "text/event-stream")
    both["content"]["application/json"] = {"schema": ref(page)}
    return {
        200: both,
        204: {"description": "The stream has ended: nothing follows. Do not reconnect."},
        400: an_error("The position is malformed."),
        503: an_error("The position has not been reached here."),
    }


JOBS = (
    Route(
        "POST",
        "/jobs",
        jobs.submit,
        "submitJob",
        "Submit a job",
        {
            200: as_json(
                "It is on the log, for good. Of several jobs, what became of each.",
                {"anyOf": [_ACCEPTED, _SEVERAL]},
            ),
            400: an_error("Inputs or request are invalid."),
            404: an_error("There is no such program."),
            409: an_error("The id is another job's."),
            413: an_error("The body is too large."),
            503: an_error("The log can not be reached."),
        },
        (header("traceparent", "The trace that the job belongs to (W3C)."),),
        "`job_id` is the client's idempotency key: the same id twice is one job, and 409 if"
        " something else is asked for with it. `warnings` names what nobody knows. An"
        " object that begins with `jobs`, and JSON Lines, ask for several jobs: each of"
        " them is accepted or refused by itself.",
        body={
            "application/json": {
                "schema": {"anyOf": [ref("SubmitJob"), ref("SubmitJobs")]},
                "examples": {"hello": {"value": _HELLO}, "bell": {"value": _BELL}},
            },
            "application/x-ndjson": {"schema": text("A `SubmitJob` in each line.")},
        },
    ),
    Route(
        "GET",
        "/jobs",
        jobs.listing,
        "listJobs",
        "List jobs, newest first",
        {200: as_json("A page of jobs.", ref("JobPage"))},
        (
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
            MOCKS,
            query("created_after", text(format="date-time"), "Younger jobs."),
            query("created_before", text(format="date-time"), "Older jobs."),
            _PROGRAM,
            _SESSION,
            _TAGS,
            _ONE_TAG,
            _EXCLUDE,
        ),
    ),
    Route(
        "GET",
        "/jobs/{job_id}",
        jobs.details,
        "getJob",
        "Look at a job",
        {200: as_json("The job.", ref("Job")), 404: _NO_JOB},
        (_EXCLUDE,),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/cancel",
        jobs.cancel,
        "cancelJob",
        "End a job as soon as possible",
        {
            204: {"description": "It is being ended."},
            404: _NO_JOB,
            409: an_error("It has ended already."),
        },
    ),
    Route(
        "DELETE",
        "/jobs/{job_id}",
        jobs.delete,
        "deleteJob",
        "Forget a job that has ended, with all that it brought",
        {
            204: {"description": "It is being forgotten."},
            404: _NO_JOB,
            409: an_error("It has not ended."),
        },
    ),
    Route(
        "GET",
        "/jobs/{job_id}/queue",
        jobs.queue,
        "getQueue",
        "Why a job waits, and for how long",
        {200: as_json("Where it stands.", ref("Queue"))},
    ),
)
RESULTS = (
    Route(
        "GET",
        "/jobs/{job_id}/results",
        results.result,
        "getResult",
        "The final result",
        {
            200: {
                "description": (
                    "The result, in the Runtime JSON encoding; of a job that failed: why, as text."
                ),
                "content": {
                    "application/json": {"schema": ANY},
                    "text/plain": {"schema": text()},
                },
            },
            204: {"description": "There is none, yet or at all."},
            206: of_type("The part that was asked for.", "application/json", ANY),
            304: {"description": "It is what the client has."},
            416: an_error("The part begins behind the end."),
        },
        (
            header("Range", "One part of it, such as `bytes=0-99`."),
            header("If-None-Match", "The `ETag` of what the client has."),
        ),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/invalid_result",
        results.invalid,
        "getInvalidResult",
        "The result of a job that failed since that breaks its schema",
        {
            200: as_json("What the program returned.", ANY),
            204: {"description": "There is none."},
        },
    ),
    Route(
        "GET",
        "/jobs/{job_id}/interim_results",
        results.interim,
        "getInterimResults",
        "The interim results so far",
        {
            200: as_json(
                "Each item is one message's own JSON text.",
                a_list(text(contentMediaType="application/json")),
            )
        },
    ),
    Route(
        "GET",
        "/jobs/{job_id}/logs",
        results.logs,
        "getLog",
        "What the program wrote",
        {200: of_type("Standard output and error.", "text/plain")},
    ),
)
EVENTS = (
    Route(
        "GET",
        "/jobs/{job_id}/events",
        events.of_job,
        "followJob",
        "The events of a job, as a stream or page by page",
        _followed("JobEventPage"),
        _POSITION,
        "Positions are event numbers; also `start` (the default) and `now`. With"
        " `Accept: application/json`: a page. After the last event: `event: end`.",
    ),
    Route(
        "GET",
        "/events",
        events.of_many,
        "followJobs",
        "The events of all jobs that match",
        _followed("EventPage"),
        (_TAGS, _ONE_TAG, _PROGRAM, _SESSION, *_POSITION),
        "Positions are vectors such as `0.12-1.7`, good on every gateway; also"
        " `start` (the default of pages) and `now` (the default of streams).",
    ),
)

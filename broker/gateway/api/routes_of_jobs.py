"""The routes of jobs, of what they bring, and of their events."""

from typing import Annotated, Any

import msgspec

from broker.errors import (
    EventsGoneError,
    InsufficientStorageError,
    InvalidInputsError,
    JobDeletedError,
    JobEndedError,
    JobExistsError,
    JobNotEndedError,
    LogUnavailableError,
    PayloadMissingError,
    QuotaError,
    RangeError,
    RecordTooLargeError,
    UnknownBackendError,
    UnknownJobError,
    UnknownProgramError,
    UpgradeRequiredError,
)
from broker.gateway.api import events, jobs, queues, results, websocket
from broker.gateway.api.asked_of_jobs import JobAsked, JobsAsked, SeveralJobs, TagsAsked
from broker.gateway.api.describing import JSON, PART, PARTS, Body
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_events import (
    EventPage,
    EventsAsked,
    EventsOfManyAsked,
    JobEventPage,
)
from broker.gateway.api.shapes_of_jobs import (
    Job,
    JobAccepted,
    JobPage,
    JobsAnswered,
)
from broker.gateway.api.shapes_of_queues import Queue
from schemas.requests import SubmitJob

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

_OVER = "The stream has ended: nothing follows. Do not reconnect."
_RESUMED = {"Last-Event-ID": "Go on after this event."}

_Lines = Annotated[str, msgspec.Meta(description="A `SubmitJob` in each line.")]
_MessageText = Annotated[str, msgspec.Meta(extra_json_schema={"contentMediaType": JSON})]

JOBS = (
    Route(
        "POST",
        "/jobs",
        jobs.submit,
        "submitJob",
        "Submit a job",
        {
            200: Body(
                "It is on the log, for good. Of several jobs, what became of each.",
                JobAccepted | JobsAnswered,
            )
        },
        headers={"traceparent": "The trace that the job belongs to (W3C)."},
        description="`job_id` is the client's idempotency key: the same id twice is one job, and 409"
        " if something else is asked for with it. `warnings` names what nobody knows. An"
        " object that begins with `jobs`, and JSON Lines, ask for several jobs: each of"
        " them is accepted or refused by itself.",
        body=Body(
            "",
            {
                JSON: SubmitJob | SeveralJobs,
                "application/x-ndjson": _Lines,
            },
            {"hello": _HELLO, "bell": _BELL},
        ),
        errors=(
            InvalidInputsError,
            UnknownBackendError,
            PayloadMissingError,
            UnknownProgramError,
            JobExistsError,
            JobDeletedError,
            QuotaError,
            RecordTooLargeError,
            InsufficientStorageError,
            LogUnavailableError,
        ),
    ),
    Route(
        "GET",
        "/jobs",
        jobs.listing,
        "listJobs",
        "List jobs, newest first",
        {200: JobPage},
        query=JobsAsked,
    ),
    Route(
        "GET",
        "/jobs/{job_id}",
        jobs.details,
        "getJob",
        "Look at a job",
        {200: Job, **PART},
        query=JobAsked,
        headers=PARTS,
        errors=(UnknownJobError, PayloadMissingError, RangeError),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/cancel",
        jobs.cancel,
        "cancelJob",
        "End a job as soon as possible",
        {204: "It is being ended."},
        errors=(UnknownJobError, JobEndedError),
    ),
    Route(
        "DELETE",
        "/jobs/{job_id}",
        jobs.delete,
        "deleteJob",
        "Forget a job that has ended, with all that it brought",
        {204: "It is being forgotten."},
        errors=(UnknownJobError, JobNotEndedError),
    ),
    Route(
        "PUT",
        "/jobs/{job_id}/tags",
        jobs.tag,
        "tagJob",
        "Give a job other tags, whether it has ended or not",
        {204: "It has these tags, or soon will."},
        body=TagsAsked,
        errors=(UnknownJobError, JobEndedError),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/queue",
        queues.queue,
        "getQueue",
        "Why a job waits, and for how long",
        {200: Queue},
        errors=(UnknownJobError,),
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
            200: Body(
                "The result, in the Runtime JSON encoding; of a job that failed: why, as text.",
                {JSON: Any, "text/plain": str},
            ),
            204: "There is none, yet or at all.",
            **PART,
        },
        headers=PARTS,
        errors=(UnknownJobError, PayloadMissingError, RangeError),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/invalid_result",
        results.invalid,
        "getInvalidResult",
        "The result of a job that failed since that breaks its schema",
        {200: Body("What the program returned.", Any), 204: "There is none.", **PART},
        headers=PARTS,
        errors=(UnknownJobError, PayloadMissingError, RangeError),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/properties",
        results.properties,
        "getJobProperties",
        "The properties of its device, by the calibration that the newest attempt met",
        {200: Body("The device's properties then.", Any), 204: "There are none.", **PART},
        headers=PARTS,
        errors=(UnknownJobError, PayloadMissingError, RangeError),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/interim_results",
        results.interim,
        "getInterimResults",
        "The interim results so far",
        {
            200: Body(
                "Each item is one message's own JSON text.",
                list[_MessageText],
            )
        },
        errors=(UnknownJobError, EventsGoneError),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/logs",
        results.logs,
        "getLog",
        "What the program wrote",
        {200: Body("Standard output and error.", {"text/plain": str})},
        errors=(UnknownJobError, EventsGoneError),
    ),
)
EVENTS = (
    Route(
        "GET",
        "/jobs/{job_id}/events",
        events.of_job,
        "followJob",
        "The events of a job, as a stream or page by page",
        {200: Body(_STREAM_HELP, {"text/event-stream": str, JSON: JobEventPage}), 204: _OVER},
        "Positions are event numbers; also `start` (the default) and `now`. With"
        " `Accept: application/json`: a page. After the last event: `event: end`.",
        query=EventsAsked,
        headers=_RESUMED,
        errors=(UnknownJobError,),
    ),
    Route(
        "GET",
        "/stream/jobs/{job_id}",
        websocket.of_job,
        "streamJob",
        "Interim results and the result, over a websocket",
        {101: "The first message says so; each other one is a value. Close 1000 is the end."},
        errors=(UnknownJobError, UpgradeRequiredError),
    ),
    Route(
        "GET",
        "/events",
        events.of_many,
        "followJobs",
        "The events of all jobs that match",
        {200: Body(_STREAM_HELP, {"text/event-stream": str, JSON: EventPage})},
        "Positions are vectors such as `0.12-1.7`, good on every gateway; also"
        " `start` (the default of pages) and `now` (the default of streams).",
        query=EventsOfManyAsked,
        headers=_RESUMED,
    ),
)

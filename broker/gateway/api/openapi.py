"""The description of the API: OpenAPI 3.1, made from the same types as the messages.

Source: OpenAPI Specification 3.1.0. A test holds every route and every answer against it.
"""

import re
from functools import cache
from importlib.metadata import version
from typing import Any

import orjson

from broker import errors
from schemas import published
from schemas.requests import MAX_TAGS
from schemas.specification import Specification
from schemas.values import State

Schema = dict[str, Any]

_EVENTS = [message for message in published.MESSAGES if message.topic == published.EVENTS]
_STREAM_HELP = (
    "Server-sent events. The first block carries only an id: where the stream resumes. Then"
    " history, then live, without gap or repeat. `id:` is the position, `event:` the kind, `data:`"
    " the event's JSON. Events older than what is kept: `event: gap`."
)


@cache
def document() -> bytes:
    """The description, as JSON."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Quantum job broker",
                "version": version("quantum-job-broker"),
                "summary": "Submit quantum jobs, follow them live, fetch results.",
                "description": (
                    "The Qiskit Runtime REST API, with event streams beside it. Every path of"
                    " `jobs`, `events`, `programs` and `backends` also answers below"
                    " `/experimental`, `/api/v1` and `/quantum-computing.ibm.com/api`. The content"
                    " type of request bodies is ignored: they are JSON."
                ),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [
                {"name": name, "description": text}
                for name, text in (
                    ("jobs", "Submit, look at, list, cancel, delete."),
                    ("results", "What jobs bring."),
                    ("events", "What happens, as it happens."),
                    ("programs", "What can be run."),
                    ("backends", "What it runs on."),
                    ("operations", "Health, metrics, pages."),
                )
            ],
            "paths": _paths(),
            "components": {
                "schemas": _schemas(),
                "responses": {"Error": _json("What is wrong", _ref("Error"))},
            },
        },
        option=orjson.OPT_SORT_KEYS,
    )


# Small words


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str = "", **properties: Any) -> Schema:
    """An object with those properties, of which the names in *required* are always there."""
    made: Schema = {"type": "object", "properties": properties}
    return made | ({"required": required.split()} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string"} | ({"description": description} if description else {}) | more


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_WHOLE: Schema = {"type": "integer", "minimum": 0}
_YES_OR_NO: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_SECONDS = _NUMBER | {"minimum": 0}
_ANY: Schema = {}


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _of_type(description: str, media_type: str, schema: Schema | None = None) -> Schema:
    return {"description": description, "content": {media_type: {"schema": schema or _text()}}}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": _text()}


def _operation(
    name: str,
    tag: str,
    summary: str,
    responses: dict[str, Schema],
    parameters: list[Schema] | None = None,
    **more: Any,
) -> Schema:
    made: Schema = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "responses": responses | {"default": {"$ref": "#/components/responses/Error"}},
    }
    if parameters:
        made["parameters"] = parameters
    return made | more


# Paths


def _paths() -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for method, path, operation in (*_jobs(), *_events(), *_catalogues(), *_operations()):
        item = paths.setdefault(path, {})
        item[method] = operation
        names = re.findall(r"\{(\w+)\}", path)
        if names:
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": _text()} for name in names
            ]
    return paths


_EXCLUDE = _query(
    "exclude_params", _text(), "`true` leaves the inputs out; anything else shows them."
)
_TAGS = _query(
    "tags",
    _list(_text()) | {"maxItems": MAX_TAGS},
    "Jobs with this tag; several: with all of them.",
)
_ONE_TAG = _query("tag", _list(_text()) | {"maxItems": MAX_TAGS}, "The same as `tags`.")
_PROGRAM = _query("program", _text(), "Jobs of this program.")
_SESSION = _query("session_id", _text(), "Jobs of this session.")
_LIMIT = _query("limit", _WHOLE, "At most so many; 0: none, only the count.")
_OFFSET = _query("offset", _WHOLE, "Leave out so many from the start.")
_GONE = "There is no such job."


def _jobs() -> list[tuple[str, str, Schema]]:
    accepted = _object(
        "id backend",
        id=_text(),
        backend=_text(),
        session_id=_text(),
        warnings=_list(_text()),
    )
    return [
        (
            "post",
            "/jobs",
            _operation(
                "submitJob",
                "jobs",
                "Submit a job",
                {
                    "200": _json("It is on the log, for good.", accepted),
                    "400": _json("Inputs or request are invalid.", _ref("Error")),
                    "404": _json("There is no such program.", _ref("Error")),
                    "409": _json("The id is another job's.", _ref("Error")),
                    "413": _json("The body is too large.", _ref("Error")),
                    "503": _json("The log can not be reached.", _ref("Error")),
                },
                [_header("traceparent", "The trace that the job belongs to (W3C).")],
                description=(
                    "`job_id` is the client's idempotency key: the same id twice is one job, and 409 if"
                    " something else is asked for with it. `warnings` names what nobody knows."
                ),
                requestBody={
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": _ref("SubmitJob"),
                            "examples": {"hello": {"value": _HELLO}, "bell": {"value": _BELL}},
                        }
                    },
                },
            ),
        ),
        (
            "get",
            "/jobs",
            _operation(
                "listJobs",
                "jobs",
                "List jobs, newest first",
                {"200": _json("A page of jobs.", _ref("JobPage"))},
                [
                    _LIMIT,
                    _OFFSET,
                    _query(
                        "cursor",
                        _text(),
                        "Go on from here: the `next` of the page before, with the same filters and"
                        " order. Beats `offset` where jobs come and go.",
                    ),
                    _query("sort", _text(enum=["ASC", "DESC"]), "`ASC`: oldest first."),
                    _query("pending", _YES_OR_NO, "Jobs that have not ended, or that have."),
                    _query("backend", _text(), "Jobs on this backend."),
                    _query("created_after", _text(format="date-time"), "Younger jobs."),
                    _query("created_before", _text(format="date-time"), "Older jobs."),
                    _PROGRAM,
                    _SESSION,
                    _TAGS,
                    _ONE_TAG,
                    _EXCLUDE,
                ],
            ),
        ),
        (
            "get",
            "/jobs/{job_id}",
            _operation(
                "getJob",
                "jobs",
                "Look at a job",
                {"200": _json("The job.", _ref("Job")), "404": _json(_GONE, _ref("Error"))},
                [_EXCLUDE],
            ),
        ),
        (
            "post",
            "/jobs/{job_id}/cancel",
            _operation(
                "cancelJob",
                "jobs",
                "End a job as soon as possible",
                {
                    "204": {"description": "It is being ended."},
                    "404": _json(_GONE, _ref("Error")),
                    "409": _json("It has ended already.", _ref("Error")),
                },
            ),
        ),
        (
            "delete",
            "/jobs/{job_id}",
            _operation(
                "deleteJob",
                "jobs",
                "Forget a job that has ended, with all that it brought",
                {
                    "204": {"description": "It is being forgotten."},
                    "404": _json(_GONE, _ref("Error")),
                    "409": _json("It has not ended.", _ref("Error")),
                },
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/queue",
            _operation(
                "getQueue",
                "jobs",
                "Why a job waits, and for how long",
                {"200": _json("Where it stands.", _ref("Queue"))},
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/results",
            _operation(
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
                            "application/json": {"schema": _ANY},
                            "text/plain": {"schema": _text()},
                        },
                    },
                    "204": {"description": "There is none, yet or at all."},
                    "206": _of_type("The part that was asked for.", "application/json", _ANY),
                    "304": {"description": "It is what the client has."},
                    "416": _json("The part begins behind the end.", _ref("Error")),
                },
                [
                    _header("Range", "One part of it, such as `bytes=0-99`."),
                    _header("If-None-Match", "The `ETag` of what the client has."),
                ],
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/interim_results",
            _operation(
                "getInterimResults",
                "results",
                "The interim results so far",
                {
                    "200": _json(
                        "Each item is one message's own JSON text.",
                        _list(_text(contentMediaType="application/json")),
                    )
                },
            ),
        ),
        (
            "get",
            "/jobs/{job_id}/logs",
            _operation(
                "getLog",
                "results",
                "What the program wrote",
                {"200": _of_type("Standard output and error.", "text/plain")},
            ),
        ),
    ]


def _events() -> list[tuple[str, str, Schema]]:
    position = [
        _header("Last-Event-ID", "Go on after this event."),
        _query(
            "last_event_id",
            _text(),
            "The same for clients that can not send the header."
            " `lastEventId`, `Last-Event-ID` and `evs_last_event_id` mean this, too; of several,"
            " the last counts. The header beats them.",
        ),
        _query("after", _text(), "Pages: go on after this position."),
        _query("wait", _SECONDS, "Pages: wait so many seconds for an event (at most 60)."),
    ]
    stream = _of_type(_STREAM_HELP, "text/event-stream", _text())

    def answers(page: str) -> dict[str, Schema]:
        both = {"description": _STREAM_HELP, "content": {}}
        both["content"] = {**stream["content"], "application/json": {"schema": _ref(page)}}
        return {
            "200": both,
            "204": {"description": "The stream has ended: nothing follows. Do not reconnect."},
            "400": _json("The position is malformed.", _ref("Error")),
            "503": _json("The position has not been reached here.", _ref("Error")),
        }

    return [
        (
            "get",
            "/jobs/{job_id}/events",
            _operation(
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
            _operation(
                "followJobs",
                "events",
                "The events of all jobs that match",
                answers("EventPage"),
                [_TAGS, _ONE_TAG, _PROGRAM, _SESSION, *position],
                description=(
                    "Positions are vectors such as `0.12-1.7`, good on every gateway; also"
                    " `start` (the default of pages) and `now` (the default of streams)."
                ),
            ),
        ),
    ]


def _catalogues() -> list[tuple[str, str, Schema]]:
    def backend(name: str, path: str, summary: str, schema: Schema) -> tuple[str, str, Schema]:
        answers = {
            "200": _json(summary, schema),
            "404": _json("There is no such backend.", _ref("Error")),
        }
        whole = f"/backends/{{backend}}/{path}"
        return "get", whole, _operation(name, "backends", summary, answers)

    anything: Schema = {"type": "object"}
    names = _object("devices", devices=_list({"anyOf": [_text(), _ref("Backend")]}))
    page = _object(
        "programs count",
        programs=_list(_ref("Program")),
        count=_WHOLE,
        limit=_WHOLE,
        offset=_WHOLE,
    )
    return [
        (
            "get",
            "/programs",
            _operation(
                "listPrograms",
                "programs",
                "List programs",
                {"200": _json("A page of programs.", page)},
                [_LIMIT, _OFFSET],
            ),
        ),
        (
            "get",
            "/programs/{program_id}",
            _operation(
                "getProgram",
                "programs",
                "A program, with the schemas of its inputs and results",
                {
                    "200": _json("The program.", _ref("Program")),
                    "404": _json("There is no such program.", _ref("Error")),
                },
            ),
        ),
        (
            "get",
            "/backends",
            _operation(
                "listBackends",
                "backends",
                "List backends",
                {"200": _json("Names; objects from API version 2025-05-01 on.", names)},
                [_header("IBM-API-Version", "The API version that the client speaks.")],
            ),
        ),
        backend("getConfiguration", "configuration", "What a backend can do", anything),
        backend("getProperties", "properties", "How well its qubits and gates work", anything),
        backend("getDefaults", "defaults", "Pulse defaults: none", anything),
        backend("getBackendStatus", "status", "Does it take jobs?", _ref("BackendStatus")),
    ]


def _operations() -> list[tuple[str, str, Schema]]:
    def page(path: str, name: str, summary: str, media_type: str) -> tuple[str, str, Schema]:
        answers = {"200": _of_type(summary, media_type)}
        return "get", path, _operation(name, "operations", summary, answers)

    ready = _json("Whether it answers questions.", _ref("Readiness"))
    live = _json("It turns.", _object("status", status=_text()))
    return [
        ("get", "/live", _operation("live", "operations", "Is it alive?", {"200": live})),
        (
            "get",
            "/ready",
            _operation("ready", "operations", "Can it answer?", {"200": ready, "503": ready}),
        ),
        page("/metrics", "metrics", "Metrics, for Prometheus", "text/plain"),
        (
            "get",
            "/openapi.json",
            _operation(
                "description",
                "operations",
                "This description",
                {"200": _json("OpenAPI 3.1.", {"type": "object"})},
            ),
        ),
        page("/", "dashboard", "The web page", "text/html"),
        page("/docs", "documentation", "This description, to read and try out", "text/html"),
        (
            "get",
            "/docs/{asset}",
            _operation(
                "asset",
                "operations",
                "A file of that page",
                {
                    "200": {
                        "description": "The file.",
                        "content": {
                            "text/css": {"schema": _text()},
                            "text/javascript": {"schema": _text()},
                        },
                    }
                },
            ),
        ),
        page("/favicon.svg", "icon", "The icon of both", "image/svg+xml"),
    ]


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


# Schemas


def _schemas() -> dict[str, Schema]:
    made = _messages()
    kinds = [_component(message.name) for message in _EVENTS if message.name != "ledger-claim"]
    made["Event"] = {
        "description": "What happened to a job. Kinds that a reader does not know are to be ignored.",
        "anyOf": [_ref(kind) for kind in kinds],
    }
    made["Error"] = _error()
    made["Job"] = _job()
    made["JobPage"] = _object(
        "jobs count limit offset next whole",
        jobs=_list(_ref("Job")),
        count=_WHOLE | {"description": "How many match in all."},
        limit=_WHOLE
        | {
            "description": "As asked for, at most 200; less if the page was cut short, as its jobs"
            " are large. `offset` + `limit` is where the next page begins."
        },
        offset=_WHOLE | {"description": "How many of them come before these."},
        next=_or_null(_text("The `cursor` of the next page; null at the end.")),
        whole=_YES_OR_NO
        | {
            "description": "False while a gateway has read only the newest events: `count` and"
            " `next` are of what is here so far."
        },
    )
    made["JobEventPage"] = _object(
        "events next terminal",
        events=_list(_ref("Event")),
        next=_WHOLE | {"description": "The position to ask on from."},
        terminal=_YES_OR_NO | {"description": "Nothing follows."},
        gap=_ref("JobSnapshot"),
    )
    made["EventPage"] = _object(
        "events next terminal",
        events=_list(_ref("Event")),
        next=_text("The position to ask on from."),
        terminal={"const": False},
        gap=_object("from to", **{"from": _text(), "to": _text()}),
    )
    made["Queue"] = _queue()
    made["Program"] = _program()
    made["Backend"] = _object(
        "name status queue_length qubits",
        name=_text(),
        status=_object("name reason", name=_text(enum=["online", "offline"]), reason=_text()),
        queue_length=_WHOLE,
        qubits=_WHOLE,
        simulator=_YES_OR_NO,
        description=_text(),
    )
    made["BackendStatus"] = _object(
        "state status length_queue backend_version",
        state=_YES_OR_NO,
        status=_text(enum=["active", "offline"]),
        message=_text(),
        length_queue=_WHOLE,
        backend_version=_text(),
        running=_WHOLE,
        slots=_WHOLE,
    )
    made["Readiness"] = _object(
        "status caught_up whole log_reachable tail_lag_seconds",
        status=_text(enum=["ready", "not ready"]),
        caught_up=_YES_OR_NO,
        whole=_YES_OR_NO | {"description": "The history has been read, too."},
        log_reachable=_YES_OR_NO,
        draining=_YES_OR_NO,
        tail_lag_seconds=_NUMBER,
        broker=_YES_OR_NO,
        workers=_WHOLE,
        backends=_WHOLE,
        streams=_WHOLE,
    )
    return made


def _component(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def _messages() -> dict[str, Schema]:
    """The messages that the API carries, and what they are made of."""
    found: dict[str, Schema] = {}
    for message in published.MESSAGES:
        if message in _EVENTS or message.name in ("job-snapshot", "submit-job"):
            schema = published.json_schema(message)
            for name, part in schema.pop("$defs", {}).items():
                found[name] = _moved(part)
            plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
            found[_component(message.name)] = _moved(plain)
    found.pop("LedgerClaim", None)
    found["SubmitJob"]["properties"].pop("kind", None)  # a path says what is asked
    return found


def _moved(schema: Any) -> Any:
    """*schema* with its references pointing to where components are."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


def _error() -> Schema:
    codes = sorted(
        {
            kind.code
            for kind in vars(errors).values()
            if isinstance(kind, type) and hasattr(kind, "code")
        }
    )
    detail = _object(
        "code message",
        code=_text(f"A stable code, such as {', '.join(codes[:6])}."),
        message=_text(),
        path=_text("JSON pointer into the request."),
        rule=_text("The rule that was broken, and what it demands."),
        value=_text("The offending value, shortened."),
    )
    return _object(
        "error errors trace",
        error=_object("code message name", code=_text(), message=_text(), name=_text()),
        errors=_list(detail),
        trace=_text("Names this request in the logs."),
    )


def _job() -> Schema:
    statuses = ["Queued", "Running", "Completed", "Failed", "Cancelled"]
    return _object(
        "id status state backend hub group project program created tags seq attempt terminal",
        id=_text(),
        status=_text(
            "As clients until 2022 read it.", enum=[*statuses, "Cancelled - Ran too long"]
        ),
        state=_object(
            "status", status=_text(enum=statuses), reason=_text(), reasonCode={"type": "integer"}
        ),
        backend=_text(),
        hub=_text(),
        group=_text(),
        project=_text(),
        program=_object("id", id=_text()),
        created=_text(format="date-time"),
        ended=_or_null(_text(format="date-time")),
        tags=_list(_text()),
        session_id=_or_null(_text()),
        cost=_or_null(_NUMBER | {"description": "The time limit, in seconds."}),
        private=_YES_OR_NO,
        seq=_WHOLE | {"description": "The number of its newest event."},
        attempt=_WHOLE,
        terminal=_YES_OR_NO,
        reason=_or_null(_text()),
        violations=_list(_ref("Violation")),
        params={"type": "object"},
    )


def _queue() -> Schema:
    return _object(
        "job_id state waiting backend backend_online position ahead queued running slots",
        job_id=_text(),
        state=_text(enum=[state.value for state in State]),
        waiting=_YES_OR_NO,
        backend=_text(),
        backend_online=_YES_OR_NO,
        position=_or_null(_WHOLE) | {"description": "1 is next; null: too far back to say."},
        ahead=_or_null(_WHOLE),
        queued=_WHOLE,
        running=_WHOLE,
        slots=_WHOLE,
        estimated_wait_seconds=_or_null(_NUMBER)
        | {"description": "A guess, from how long the latest jobs took."},
    )


def _program() -> Schema:
    anything: Schema = {"type": "object"}
    doc = (Specification.__doc__ or "").strip()
    return _object(
        "id name description cost is_public spec",
        id=_text(),
        name=_text(),
        description=_text(),
        cost=_NUMBER | {"description": "The longest that a job may run, in seconds."},
        is_public=_YES_OR_NO,
        version=_text("Changes whenever the program does."),
        spec=_object(
            "backend_requirements parameters interim_results return_values",
            backend_requirements=anything,
            parameters=anything,
            interim_results=anything,
            return_values=anything,
        ),
    ) | {"description": doc}

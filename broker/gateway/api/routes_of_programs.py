"""The routes of programs."""

from broker.gateway.api import programs
from broker.gateway.api.describing import (
    WHOLE,
    Schema,
    a_list,
    an_error,
    an_object,
    as_json,
    of_type,
    query,
    ref,
    text,
)
from broker.gateway.api.places import Handler, Route
from broker.gateway.api.routes_of_jobs import LIMIT, OFFSET
from broker.gateway.caller import Scope

_NO_PROGRAM = an_error("There is no such program, for you.")
_NOT_YOURS = an_error("It is not yours to change.")
_INVALID = an_error("What is wrong with it, field by field, or what it imports and is missing.")
_ENVIRONMENTS = an_object(
    "environments",
    environments=a_list(
        an_object(
            "workers python packages",
            workers=a_list(text()),
            python=text("Its version."),
            packages=a_list(
                an_object(
                    "name version modules",
                    name=text(),
                    version=text(),
                    modules=a_list(text()),
                )
            ),
        )
    ),
)
_FORM: Schema = {
    "schema": an_object(
        program=text("The code, as a file.", format="binary"),
        name=text(),
        description=text(),
        cost=text("Seconds."),
        is_public=text("`true` or `false`."),
        spec=text("JSON.", contentMediaType="application/json"),
    )
}
_HELLO = {
    "name": "hello",
    "data": "ZGVmIG1haW4oYmFja2VuZCwgdXNlcl9tZXNzZW5nZXIpOgogICAgcmV0dXJuICJoZWxsbyIK",
    "cost": 60,
}


def _change(
    method: str, path: str, handler: Handler, name: str, summary: str, body: Schema
) -> Route:
    answers = {
        200: as_json("The program as it is now.", ref("Program")),
        400: _INVALID,
        403: _NOT_YOURS,
        404: _NO_PROGRAM,
    }
    return Route(
        method,
        f"/programs/{{program_id}}{path}",
        handler,
        name,
        summary,
        answers,
        body=body or None,
        scope=Scope.PROGRAMS,
    )


PROGRAMS = (
    Route(
        "GET",
        "/programs",
        programs.listing,
        "listPrograms",
        "List programs",
        {
            200: as_json(
                "A page of programs.",
                an_object(
                    "programs count",
                    programs=a_list(ref("Program")),
                    count=WHOLE,
                    limit=WHOLE,
                    offset=WHOLE,
                ),
            )
        },
        (
            LIMIT,
            OFFSET,
            query("name", text(), "Programs of this name."),
            query("search", text(), "Programs with this in their id, name or description."),
        ),
    ),
    Route(
        "POST",
        "/programs",
        programs.upload,
        "uploadProgram",
        "Bring a program",
        {
            201: as_json("It can be run: by you, or if it is public by all.", ref("Program")),
            400: _INVALID,
            403: an_error("No worker has a sandbox that is good enough for it."),
            413: an_error("The body is too large."),
            507: an_error("There is too little disk space."),
        },
        scope=Scope.PROGRAMS,
        description="Its id is its name with a random ending. It is private unless `is_public` says"
        " otherwise. The code is read, not run: it needs a `main(backend, user_messenger, **inputs)`,"
        " and what it imports has to be installed on a worker (`GET /programs/environment`).",
        body={
            "application/json": {
                "schema": ref("UploadProgram"),
                "examples": {"hello": {"value": _HELLO}},
            },
            "multipart/form-data": _FORM,
        },
    ),
    Route(
        "GET",
        "/programs/environment",
        programs.environment,
        "getEnvironment",
        "What programs can import",
        {200: as_json("What is installed, by worker.", _ENVIRONMENTS)},
    ),
    Route(
        "GET",
        "/programs/{program_id}",
        programs.details,
        "getProgram",
        "A program, with the schemas of its inputs and results",
        {200: as_json("The program.", ref("Program")), 404: _NO_PROGRAM},
    ),
    _change(
        "PATCH",
        "",
        programs.update,
        "updateProgram",
        "Change what is said of a program, or its code",
        {"application/json": {"schema": ref("UpdateProgram")}, "multipart/form-data": _FORM},
    ),
    Route(
        "DELETE",
        "/programs/{program_id}",
        programs.delete,
        "deleteProgram",
        "Delete a program; jobs that were accepted run",
        {204: {"description": "It is gone."}, 403: _NOT_YOURS, 404: _NO_PROGRAM},
        scope=Scope.PROGRAMS,
    ),
    Route(
        "GET",
        "/programs/{program_id}/data",
        programs.code,
        "getCode",
        "The code of a program of yours",
        {200: of_type("Python.", programs.PYTHON), 403: _NOT_YOURS, 404: _NO_PROGRAM},
    ),
    _change(
        "PUT",
        "/data",
        programs.replace_code,
        "replaceCode",
        "Change the code of a program",
        {
            "application/octet-stream": {"schema": text("The code in base64.")},
            "multipart/form-data": _FORM,
        },
    ),
    _change("PUT", "/public", programs.publish, "publishProgram", "Let all see and run it", {}),
    _change("PUT", "/private", programs.hide, "hideProgram", "Let nobody else see and run it", {}),
)

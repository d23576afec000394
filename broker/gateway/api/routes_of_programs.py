"""The routes of programs."""

from typing import Annotated, Any

from msgspec import Meta

from broker.errors import (
    InsufficientStorageError,
    MissingImportsError,
    NoSandboxError,
    NotYourProgramError,
    RangeError,
    UnknownProgramError,
)
from broker.gateway.api import programs
from broker.gateway.api.describing import JSON, PART, PARTS, Body
from broker.gateway.api.places import Handler, Route
from broker.gateway.api.shapes_of_programs import (
    FORM,
    UPDATE,
    UPLOAD,
    Environments,
    Program,
    ProgramPage,
    ProgramsAsked,
)
from schemas.tenants import Scope

_HELLO = {
    "name": "hello",
    "data": "ZGVmIG1haW4oYmFja2VuZCwgdXNlcl9tZXNzZW5nZXIpOgogICAgcmV0dXJuICJoZWxsbyIK",
    "cost": 60,
}
_BASE64 = Annotated[str, Meta(min_length=1, description="The code in base64.")]
_FORM = {"multipart/form-data": FORM}
_INVALID = (MissingImportsError,)
_NOT_YOURS = (NotYourProgramError, UnknownProgramError)
_TOO_MUCH = (InsufficientStorageError,)


def _change(
    method: str, path: str, handler: Handler, name: str, summary: str, body: Any = None
) -> Route:
    return Route(
        method,
        f"/programs/{{program_id}}{path}",
        handler,
        name,
        summary,
        {200: Body("The program as it is now.", Program)},
        scope=Scope.PROGRAMS,
        body=body,
        errors=(*_INVALID, *_NOT_YOURS, *_TOO_MUCH),
    )


PROGRAMS = (
    Route(
        "GET",
        "/programs",
        programs.listing,
        "listPrograms",
        "List programs",
        {200: ProgramPage},
        query=ProgramsAsked,
    ),
    Route(
        "POST",
        "/programs",
        programs.upload,
        "uploadProgram",
        "Bring a program",
        {201: Body("It can be run: by you, or if it is public by all.", Program)},
        scope=Scope.PROGRAMS,
        description="Its id is its name with a random ending. It is private unless `is_public` says"
        " otherwise. The code is read, not run: it needs a `main(backend, user_messenger, **inputs)`,"
        " and what it imports has to be installed on a worker (`GET /programs/environment`).",
        body=Body("", {JSON: UPLOAD} | _FORM, {"hello": _HELLO}),
        errors=(*_INVALID, NoSandboxError, *_TOO_MUCH),
    ),
    Route(
        "GET",
        "/programs/environment",
        programs.environment,
        "getEnvironment",
        "What programs can import",
        {200: Environments},
    ),
    Route(
        "GET",
        "/programs/{program_id}",
        programs.details,
        "getProgram",
        "A program, with the schemas of its inputs and results",
        {200: Program, **PART},
        headers=PARTS,
        errors=(UnknownProgramError, RangeError),
    ),
    _change(
        "PATCH",
        "",
        programs.update,
        "updateProgram",
        "Change what is said of a program, or its code",
        Body("", {JSON: UPDATE} | _FORM),
    ),
    Route(
        "DELETE",
        "/programs/{program_id}",
        programs.delete,
        "deleteProgram",
        "Delete a program; jobs that were accepted run",
        {204: "It is gone."},
        scope=Scope.PROGRAMS,
        errors=_NOT_YOURS,
    ),
    Route(
        "GET",
        "/programs/{program_id}/data",
        programs.code,
        "getCode",
        "The code of a program of yours",
        {200: Body("Python.", {programs.PYTHON: str})},
        errors=_NOT_YOURS,
    ),
    _change(
        "PUT",
        "/data",
        programs.replace_code,
        "replaceCode",
        "Change the code of a program",
        Body("", {"application/octet-stream": _BASE64} | _FORM),
    ),
    _change("PUT", "/public", programs.publish, "publishProgram", "Let all see and run it"),
    _change("PUT", "/private", programs.hide, "hideProgram", "Let nobody else see and run it"),
)

"""Programs that somebody brings: read in the helper, held against what workers have, written."""

from msgspec.structs import replace

from broker.core.admission import malformed
from broker.core.catalogue import Shown
from broker.errors import InvalidRequestError, MissingImportsError, NoSandboxError
from broker.gateway.fleet import Fleet
from broker.gateway.imports import missing
from broker.gateway.programs import Programs
from broker.judging.judge import Brought, Judge
from broker.transports.space import Space
from schemas.decoding import UnreadableError
from schemas.limits import MIB
from schemas.submits import WrongFieldsError
from schemas.uploads import Upload
from schemas.values import Violation

MOST_BYTES = 4 * MIB  # of a body that brings a program
UNCHECKED = "no worker has said what is installed, so it is not known whether imports are missing"


class Uploads:
    """Takes programs in, for a tenant each. Raises what `Programs` does, `NoSandboxError`,
    `InvalidRequestError` with all that is wrong, or `MissingImportsError`.
    """

    def __init__(
        self, programs: Programs, judge: Judge, fleet: Fleet, space: Space | None = None
    ) -> None:
        self._programs, self._judge, self._fleet, self._space = programs, judge, fleet, space

    async def upload(self, tenant: str, body: bytes) -> tuple[Shown, tuple[str, ...]]:
        """A new program, as *body* (JSON) has it; and what is to be said of it."""
        self._check_sandbox()
        brought = await self._read(body, whole=True)
        told = self._check_imports(brought)
        shown = await self._programs.upload(tenant, brought.upload, brought.code or b"")
        return shown, told

    async def update(
        self, tenant: str, program_id: str, body: bytes
    ) -> tuple[Shown, tuple[str, ...]]:
        """The program with what *body* (JSON) says instead; and what is to be said of it."""
        await self._programs.check_own(tenant, program_id)  # before anything is read
        brought = await self._read(body, whole=False)
        told = self._check_imports(brought)
        upload, code = brought.upload, brought.code
        if code is None and replace(upload, warnings=()) == Upload():
            raise InvalidRequestError("an update has to say what changes, such as name or data")
        return await self._programs.update(tenant, program_id, upload, code), told

    async def _read(self, body: bytes, *, whole: bool) -> Brought:
        if self._space is not None:
            self._space.check()
        try:
            return await self._judge.read_program(body, whole=whole)
        except WrongFieldsError as error:
            refused = malformed("", error.violations)
            raise InvalidRequestError(refused.message, refused.violations) from error
        except UnreadableError as error:
            what = "the body is not JSON: " if error.code == "invalid_json" else ""
            raise InvalidRequestError(what + error.message) from error

    def _check_sandbox(self) -> None:
        """Whether there is a worker that may run it, as far as workers are known."""
        levels = self._fleet.sandboxes.values()
        if levels and all(level == "none" for level in levels):
            raise NoSandboxError(
                "no worker here runs programs that users bring: none has as good a sandbox as its"
                " QJB_SANDBOX asks for; `qjb sandbox-check` says what is missing"
            )

    def _check_imports(self, brought: Brought) -> tuple[str, ...]:
        """What is to be said of a program that may be taken."""
        warnings, environments = brought.upload.warnings, self._fleet.environments
        if lacking := missing(brought.imports, environments):
            raise _missing(lacking)
        known = environments or not brought.imports
        return warnings if known else (*warnings, UNCHECKED)


def _missing(lacking: list[Violation]) -> MissingImportsError:
    names = ", ".join(one.value for one in lacking)
    return MissingImportsError(f"the program imports what is missing: {names}", lacking)

"""Jobs that stand in files: what `qjb submit --from` submits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broker.cli import inputs, show
from broker.cli.answers import refusal
from broker.cli.client import Client
from broker.cli.exits import Exit, of_error
from broker.cli.options import Address
from broker.cli.output import say, say_json
from broker.cli.streams import OutputError
from broker.shown import on_one_line
from schemas.batches import MOST_BYTES, MOST_JOBS

ROOM = 64  # bytes of a request beside its jobs, and more


async def submit(at: Address, files: Sequence[str], *, as_json: bool) -> Exit:
    """Submit the jobs in *files*, and print the id of each, in their order.

    Those that are refused are told beside that. The status is that of the first refusal.
    """
    jobs = [job for name in files for job in jobs_in(name)]
    outcome = Exit.DONE
    number = 0
    async with Client(at) as client:
        for some in _requests(jobs):
            answers = await client.submit_all(some)
            try:
                for said in answers:
                    number += 1
                    told = _tell(number, said, as_json=as_json)
                    outcome = outcome or told
            except OutputError:
                ids = (str(said.get("id")) for said in answers if "error" not in said)
                say(f"These jobs were accepted: {', '.join(ids)}.", err=True)
                raise
    return outcome


def _tell(number: int, said: Mapping[str, Any], *, as_json: bool) -> Exit:
    if as_json:
        say_json(said)
    elif "error" not in said:
        say(str(said.get("id")))
    if "error" in said:
        error = refusal(said.get("status", 400), said)
        if not as_json:
            say(f"Error: job {number}: {on_one_line(error.message)}", err=True)
        return of_error(error)
    for text in said.get("warnings", ()):
        show.note(f"job {number}: {text}")
    return Exit.DONE


def jobs_in(name: str) -> list[dict[str, Any]]:
    """The submits in a file: one, a list of them, an object with such `jobs`, or one in each line.

    Raises `InputError`.
    """
    shown, text = inputs.text_of(name)
    found = _found(shown, text)
    if isinstance(found, dict):
        found = found.get("jobs", [found])
    if not isinstance(found, list):
        raise inputs.InputError(f"{shown}: jobs is no list")
    for number, job in enumerate(found, 1):
        if not isinstance(job, dict):
            raise inputs.InputError(f"{shown}: job {number} is no object, such as " + _SUCH_AS)
    return found


_SUCH_AS = '{"program_id": "hello-world", "params": {"iterations": 3}}'


def _found(shown: str, text: str) -> Any:
    """The JSON in *text*; if it is none but its first line is, what is in each line."""
    try:
        return inputs.json_of(shown, text)
    except inputs.InputError as error:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        try:
            inputs.json_of(shown, lines[0][1])
        except inputs.InputError:
            raise error from None
    return [inputs.json_of(f"{shown}, line {number}", line) for number, line in lines]


def _requests(jobs: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    """Bodies that ask for *jobs*, each as large as one may be; a larger job is in one of its own."""
    waiting: list[bytes] = []
    size = ROOM
    for job in jobs:
        text = json.dumps(job, separators=(",", ":")).encode()
        if waiting and (len(waiting) == MOST_JOBS or size + len(text) > MOST_BYTES):
            yield _body(waiting)
            waiting, size = [], ROOM
        waiting.append(text)
        size += len(text) + 1
    if waiting:
        yield _body(waiting)


def _body(jobs: Sequence[bytes]) -> bytes:
    return b'{"jobs":[' + b",".join(jobs) + b"]}"

"""Several submits in one body are told apart as they stand there."""

import json
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import MOST_BYTES, MOST_JOBS, is_batch, lines, spans
from schemas.decoding import UnreadableError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)
SPACE = st.text(" \t\r\n", max_size=3)


@given(st.lists(OBJECTS, max_size=6), SPACE, st.sampled_from([None, 0, 2]), st.booleans())
def test_each_of_a_list_is_found_however_it_is_written(
    jobs: list[dict[str, object]], space: str, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps({"jobs": jobs}, indent=indent, ensure_ascii=ascii_only)
    body = f"{space}{text}{space}".encode()

    assert is_batch(body)
    assert [json.loads(body[start:stop]) for start, stop in spans(body)] == jobs


@given(st.lists(OBJECTS, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n", " \n\t\n"]))
def test_each_line_is_one_however_lines_end(jobs: list[dict[str, object]], end: str) -> None:
    body = "".join(json.dumps(job) + end for job in jobs).encode()

    assert [json.loads(body[start:stop]) for start, stop in lines(body)] == jobs
    assert lines(body.rstrip()) == lines(body.rstrip() + b"\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"jobs": 5}', "$.jobs"),
        (b'{"jobs": {"a": 1}}', "$.jobs"),
        (b'{"jobs": [{}, 7, {}]}', "$.jobs[1]"),
        (b'{"jobs": [{}], "tags": []}', "tags"),
        (b'{"jobs": [{}', "truncated"),
        (b'{"jobs": [' + b"[" * 5000, "$.jobs[0]"),
        (b'{"jobs": [' + b"{}," * MOST_JOBS + b"{}]}", f"at most {MOST_JOBS}"),
    ],
)
def test_what_is_no_list_of_jobs_is_refused_with_the_place(body: bytes, said: str) -> None:
    assert is_batch(body)
    with pytest.raises(UnreadableError) as caught:
        spans(body)
    assert said in caught.value.message


def test_too_many_lines_are_refused() -> None:
    assert len(lines(b"{}\n" * MOST_JOBS)) == MOST_JOBS
    with pytest.raises(UnreadableError, match=f"at most {MOST_JOBS}"):
        lines(b"{}\n" * (MOST_JOBS + 1))


def test_blank_lines_are_no_jobs_however_many_they_are() -> None:
    body = b"{}\n \r\n\n" * MOST_JOBS
    assert len(lines(body)) == MOST_JOBS
    with pytest.raises(UnreadableError, match=f"at most {MOST_JOBS}"):
        lines(body + b"{}")
    assert lines(b"\n" * MOST_BYTES) == []


@pytest.mark.parametrize("line", [b"\n", b"{}\n"])
def test_many_lines_take_no_memory(line: bytes) -> None:
    body = line * 1_000_000
    tracemalloc.start()
    with suppress(UnreadableError):
        lines(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"program_id": "jobs"}', b'{"jobs_": []}', b'"jobs": []', b'{"a":1,"jobs":[]}'],
)
def test_other_bodies_are_no_batch(body: bytes) -> None:
    assert not is_batch(body)

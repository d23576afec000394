"""Events as bytes."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.gateway.frames import COMMENT, chunk, frame, mark, priming


def test_a_frame_has_an_id_a_kind_and_data() -> None:
    assert frame("7", "interim", b'{"a":1}') == b'id: 7\nevent: interim\ndata: {"a":1}\n\n'


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_data_of_several_lines_is_put_together_again_by_the_client(end: bytes) -> None:
    made = frame("1", "queued", b"{" + end + b'"a":1' + end + b"}")

    assert _data(made) == b'{\n"a":1\n}'
    assert made.count(b"\n\n") == 1


@given(st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c, max_size=3)))
def test_any_json_comes_out_as_it_went_in(value: object) -> None:
    try:
        data = orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits
        return

    assert orjson.loads(_data(frame("1", "x", data))) == value


def _data(made: bytes) -> bytes:
    lines = made.split(b"\n")
    return b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))


def test_what_is_not_an_event_dispatches_nothing() -> None:
    for block in (priming("0.1-1.2", 1000), mark("3"), COMMENT):
        assert b"data" not in block
        assert block.endswith(b"\n\n")


def test_a_chunk_says_its_length_in_hexadecimal() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"

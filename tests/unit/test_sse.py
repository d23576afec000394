"""The parser of event streams, held against the HTML standard."""

import pytest

from broker.cli.sse import Message, Parser


def parse(*chunks: bytes) -> list[Message]:
    parser = Parser()
    return [message for chunk in chunks for message in parser.feed(chunk)]


STREAM = (
    b"retry: 2417\nid: 0\n\n: a comment\n\nid: 1\r\nevent: queued\r\ndata: {\xc3\xa4}\r\n\r\n"
    b"data: two\rdata:  lines\r\rid\nevent: end\ndata\n\n"
)
MESSAGES = [
    Message("queued", "{ä}", "1"),
    Message("message", "two\n lines", "1"),
    Message("end", "", ""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    assert parse(*(STREAM[at : at + size] for at in range(0, len(STREAM), size))) == MESSAGES


def test_a_message_that_is_not_complete_is_none() -> None:
    assert parse(b"id: 5\ndata: x\n") == []


def test_an_id_without_data_is_remembered_and_no_message() -> None:
    parser = Parser()

    assert list(parser.feed(b"retry: 1500\nid: 7\n\n")) == []
    assert (parser.id, parser.retry) == ("7", 1.5)

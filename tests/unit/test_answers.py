"""Answers that write their head themselves."""

import pytest
from aiohttp.test_utils import make_mocked_request

from broker.gateway.api.answers import Answer


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b"])
def test_no_header_ends_before_its_line_does(value: str) -> None:
    request = make_mocked_request("GET", "/jobs")

    with pytest.raises(ValueError, match="end of a line"):
        Answer(status=204, headers={"X-Trace": value}).head(request)


def test_a_head_is_one_line_a_header_and_an_empty_one() -> None:
    head = Answer(status=204, headers={"X-Trace": "ä"}).head(make_mocked_request("GET", "/jobs"))

    lines = head.decode().split("\r\n")
    assert lines[:2] == ["HTTP/1.1 204 No Content", "X-Trace: ä"]
    assert lines[-2:] == ["", ""]

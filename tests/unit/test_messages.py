"""What is said over a websocket of the first clients."""

import pytest

from broker.gateway.messages import TEXT, Messages, frame


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (b'{"state":"completed","value":null}', frame(TEXT, b"null")),
        (b'{"state":"completed"}', b""),
        (b'{"state":"failed"}', b""),
    ],
    ids=["its result", "none that is known any more", "it has none"],
)
def test_in_place_of_a_gap_stands_the_result_if_there_is_one(job: bytes, told: bytes) -> None:
    assert Messages().gap("9", job).data == told

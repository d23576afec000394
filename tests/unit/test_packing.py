"""What the local copy leaves out of its JSON comes back byte for byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.gateway.packing import CODES, EVENT, STATE, own_phrases, pack, unpack
from schemas.cloudevents import encode
from schemas.events import AnyEvent

DETAILS = (
    b'{"program_id":"hello-world","program_version":"0fc9f9ad3e64da6d",'
    b'"params":{"iterations": 0},"time_limit":300.0}'
)
JOB_ID, CREATED = "01m8gf20p23pd53n8q177wzz", "2026-11-28T06:56:35.529Z"
OWN = own_phrases(JOB_ID, CREATED, DETAILS, b'"Hello, World!"')
HEAD = b'{"kind":"%%b","job_id":"%b","seq":%%d,"time":"2026-11-28T06:56:35.857Z",' % JOB_ID.encode()
QUEUED = (
    HEAD % (b"queued", 1)
    + b'"state":"queued","terminal":false,"job":%b,"backend":"aer_simulator"}' % DETAILS
)
COMPLETED = (
    HEAD % (b"completed", 4)
    + b'"state":"completed","terminal":true,"attempt":1,"value":"Hello, World!"}'
)

texts = st.recursive(
    st.text() | st.integers() | st.sampled_from((JOB_ID, CREATED, '"Hello, World!"', ',"time":"')),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(texts, st.text(max_size=10), texts)
def test_any_json_comes_back(text: object, job_id: str, value: object) -> None:
    own = own_phrases(job_id, CREATED, DETAILS, encode(value))
    for json in (
        encode(text),
        msgspec.json.format(encode(text)),
        encode([text, "x" * 3000, value, job_id]),
    ):
        for usual in (EVENT, STATE):
            assert unpack(pack(json, own, usual), own) == json


@pytest.mark.parametrize("event", [QUEUED, COMPLETED], ids=["queued", "completed"])
def test_an_event_of_a_plain_job_takes_a_quarter(event: bytes) -> None:
    packed = pack(event, OWN, EVENT)

    assert unpack(packed, OWN) == event
    assert len(packed) * 4 < len(event)


def test_what_becomes_known_later_does_not_change_what_was_packed() -> None:
    early = own_phrases(JOB_ID, "2026-11-28T06:59:59.000Z", None, None)

    assert unpack(pack(COMPLETED, early, EVENT), OWN) == COMPLETED


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_no_part_of_an_event(code: bytes) -> None:
    for place in (b'"%b"', b'{"a":%b1}', b'{"%b":1}', b"%b1", b"[1,%b]"):
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(COMPLETED.replace(b'"Hello, World!"', place % code), type=AnyEvent)

"""The small parts between parent and child: frames, merged output, names in the registry."""

import socket
import subprocess
import sys

import msgspec
import pytest

from executors.children.frames import (
    HEADER,
    MAX_PAYLOAD,
    BrokenFrameError,
    Kind,
    Splitter,
    TaskHeader,
    pack,
    read_task,
    receive,
    task_frame,
)
from executors.children.output import CUT, PIECE, TOTAL, Output
from executors.children.said import MOST_CHECKED, raised_of
from executors.registry import NAMES, make_executor
from executors.scripted import ScriptedExecutor


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
def test_frames_come_out_whole_however_they_are_cut(chunk: int) -> None:
    sent = [(Kind.BEGAN, b"", 1), (Kind.PUBLISHED, b"x" * 20, 1), (Kind.RETURNED, b"null", 2)]
    stream = b"".join(pack(*frame) for frame in sent)
    splitter = Splitter()

    found = []
    for start in range(0, len(stream), chunk):
        found += splitter.feed(stream[start : start + chunk])

    assert found == sent


@pytest.mark.parametrize(
    "head", [HEADER.pack(MAX_PAYLOAD + 1, 1, Kind.BEGAN), HEADER.pack(0, 1, 99)]
)
def test_what_is_no_frame_is_an_error(head: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        Splitter().feed(head)


def test_a_blocking_end_receives_frames_until_the_other_hangs_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(pack(Kind.TASK, b"abc", 7) + pack(Kind.BEGAN) + HEADER.pack(9, 1, Kind.TASK))
        theirs.shutdown(socket.SHUT_WR)

        assert receive(ours) == (Kind.TASK, b"abc", 7)
        assert receive(ours) == (Kind.BEGAN, b"", 0)
        assert receive(ours) is None  # cut short


def test_a_task_keeps_inputs_as_they_are() -> None:
    header = TaskHeader("sampler", "aer_simulator")

    assert read_task(task_frame(header, b'{"a":\n1}', 1)[HEADER.size :]) == (header, b'{"a":\n1}')


def test_output_is_merged_and_letters_are_not_torn() -> None:
    output = Output()
    text = "ä" * PIECE
    output.add(text.encode()[:-1])
    first = output.pieces(0.0)
    output.add(text.encode()[-1:])

    assert "".join([*first, *output.rest()]) == text


def test_bytes_that_are_no_text_are_replaced() -> None:
    output = Output()
    output.add(b"a\xff\xc3")

    assert "".join(output.rest()) == "a��"


def test_output_waits_between_pieces() -> None:
    output = Output()
    assert output.due(10.0) is None
    output.add(b"a")
    assert output.due(10.0) == pytest.approx(10.05)
    output.pieces(10.05)
    output.add(b"b")
    assert output.due(10.06) == pytest.approx(10.35)


def test_output_above_its_bound_is_cut_with_a_word() -> None:
    output = Output()
    for _ in range(3):
        output.add(b"x" * TOTAL)
    pieces = output.rest()

    assert sum(len(piece) for piece in pieces[:-1]) == TOTAL
    assert pieces[-1] == CUT


def test_executors_have_names() -> None:
    assert isinstance(make_executor("scripted", 1), ScriptedExecutor)
    assert set(NAMES) == {"simulator", "scripted"}
    with pytest.raises(ValueError, match="choose one of simulator, scripted"):
        make_executor("hardware", 1)


def test_the_parent_of_children_does_not_import_qiskit() -> None:
    code = (
        "import sys; from executors.registry import make_executor; "
        "from executors import simulator; "
        "sys.exit(any(name.partition('.')[0].startswith('qiskit') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_child_says_of_its_failure_is_believed_up_to_a_size() -> None:
    def failed(message: str) -> bytes:
        return msgspec.json.encode(
            {"kind": "raised", "reason": "program_error", "message": message}
        )

    kept = raised_of(failed("x" * 1_000) + b"\n" + b"1" * MOST_CHECKED)

    assert kept is not None
    assert len(kept.value) == MOST_CHECKED
    assert raised_of(failed("x" * MOST_CHECKED)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_forks_that_fail_leave_no_descriptors_behind() -> None:
    code = """
import os, resource
from executors.sandbox import walls

if os.geteuid() == 0:  # whom no limit of processes holds back
    os.setresuid(walls.NOBODY, walls.NOBODY, walls.NOBODY)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
before, failed = os.listdir("/proc/self/fd"), 0
for _ in range(10):
    try:
        walls.fork_apart()
    except BlockingIOError:
        failed += 1
print(failed, len(os.listdir("/proc/self/fd")) - len(before))
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert said.stdout.split() == [b"10", b"0"]

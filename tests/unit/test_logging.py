"""Log lines, as a process writes them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.shown import visible

CODE = """
import logging, structlog
from broker.telemetry.logging import configure
configure({level!r}, "json")
log = structlog.get_logger()
log.debug("small"); log.info("job.event", job_id="j", seq=1)
log.warning("odd", positions={{("a", 1): 2}}, thing=object)
logging.getLogger("library").warning("says %s", "this")
try:
    secret = "inputs"
    raise ValueError("no")
except ValueError:
    log.exception("broke")
"""


def lines(level: str) -> list[dict[str, object]]:
    command = [sys.executable, "-c", CODE.format(level=level)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_each_line_is_json_whatever_is_in_it() -> None:
    found = lines("info")

    assert [line["event"] for line in found] == ["job.event", "odd", "says this", "broke"]
    assert found[0] | {"timestamp": ""} == {
        "event": "job.event",
        "level": "info",
        "job_id": "j",
        "seq": 1,
        "timestamp": "",
    }


def test_an_exception_is_told_without_the_values_of_variables() -> None:
    text = str(lines("error")[-1]["exception"])

    assert "ValueError: no" in text
    assert "secret = " not in text.replace('secret = "inputs"', "")
    assert text.count("inputs") == 0


def test_less_important_lines_are_left_out() -> None:
    assert [line["event"] for line in lines("warning")] == ["odd", "says this", "broke"]


def test_a_library_that_repeats_itself_is_heard_once() -> None:
    code = (
        "import logging; from broker.telemetry.logging import configure; configure('info', 'json')\n"
        "for port in range(50): logging.getLogger('aiokafka').error('no answer on %s', port)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["no answer on 0"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("form", ["json", "console"])
def test_lines_that_can_not_be_written_stop_nothing(form: str) -> None:
    code = (
        "import structlog; from broker.telemetry.logging import configure\n"
        f"configure('info', {form!r}); log = structlog.get_logger()\n"
        "for number in range(1000): log.error('one of many', number=number)\n"
        "print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True
        )

    assert done.stdout == "went on\n"


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_foreign_in_a_line_does_not_drive_the_terminal(form: str) -> None:
    code = (
        "import logging, structlog; from broker.telemetry.logging import configure\n"
        f"configure('info', {form!r}); log = structlog.get_logger()\n"
        "bad = '\\x1b[2J \\x9b31m \\x7f \\u202e \\u2028 \\n forged'\n"
        "log.warning(bad, **{bad: bad}, some=[bad], error=ValueError(bad))\n"
        "log.warning('half', text='\\ud800' + bad)\n"
        "logging.getLogger('library').warning('%s', bad)\n"
        "try: raise ValueError(bad)\n"
        "except ValueError: log.exception('broke')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr.decode())  # our own colours
    assert "[2J" in text
    assert visible(text) == text
    assert sum("forged" in line for line in text.splitlines()) == 4

"""Whatever has a name in the messages has an entry in the docs."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, Info

from broker import errors
from broker.telemetry import metrics
from broker.transports.topics import TOPICS
from schemas.events import EVENT_TYPES
from schemas.requests import SubmitJob
from schemas.values import Reason, State

DOCS = Path(__file__).resolve().parents[2] / "docs"
MESSAGES = (DOCS / "messages.md").read_text()
HTTP = (DOCS / "http.md").read_text()
OPERATIONS = (DOCS / "operations.md").read_text()
FAMILIES = [
    next(iter(metric.describe()))
    for metric in vars(metrics).values()
    if isinstance(metric, Counter | Gauge | Histogram | Info)
]
SUFFIXES = {"counter": "_total", "info": "_info"}


@pytest.mark.parametrize("kind", [str(kind.__struct_config__.tag) for kind in EVENT_TYPES])
def test_every_event_is_described(kind: str) -> None:
    assert f"| `{kind}` |" in MESSAGES


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_described(reason: Reason) -> None:
    assert f"| `{reason}` |" in MESSAGES


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_named(state: State) -> None:
    assert f"`{state}`" in MESSAGES


@pytest.mark.parametrize("topic", list(TOPICS))
def test_every_topic_is_listed(topic: str) -> None:
    assert f"| `{topic}` |" in MESSAGES


@pytest.mark.parametrize("field", [name for name in SubmitJob.__struct_fields__ if name != "cost"])
def test_every_field_of_a_request_is_described(field: str) -> None:
    assert f"| `{field}` |" in MESSAGES


@pytest.mark.parametrize(
    "code", sorted({kind.code for kind in vars(errors).values() if hasattr(kind, "code")})
)
def test_every_error_code_is_described(code: str) -> None:
    assert f"`{code}`" in HTTP


def test_every_metric_is_listed_and_nothing_else() -> None:
    listed = re.findall(r"`(qjb_\w+)(?:\{[\w,]+\})?`", _section("Health and metrics"))

    assert {metric.name + SUFFIXES.get(metric.type, "") for metric in FAMILIES} == set(listed)


def _section(title: str) -> str:
    return OPERATIONS.partition(f"## {title}\n")[2].partition("\n## ")[0]

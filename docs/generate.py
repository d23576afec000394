"""Write the documents that are made from the code: `python docs/generate.py [--check]`.

Makes `schemas/json/*.schema.json` and `docs/asyncapi.json` out of `schemas/published.py`,
`schemas/asyncapi.py` and the examples in `schemas/examples`, the picture of the states in `docs/architecture.md` out of the
transition table, the settings in `docs/operations.md`, and the table of escapes in `docs/sandbox.md`
out of the suite that tries them. With `--check` nothing is written; exit status 1 if anything differs.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# These need the path above when this is run as a script.
from broker.core.job import PARKED, TRANSITIONS, Standing  # noqa: E402
from broker.settings.settings import every as every_setting  # noqa: E402
from broker.transports.kafka import topics as kafka_topics  # noqa: E402
from broker.transports.topics import TOPICS, Topic  # noqa: E402
from schemas import asyncapi, published  # noqa: E402
from schemas.events import Event, Parked  # noqa: E402
from schemas.values import State  # noqa: E402
from tests.support.escapes import AREAS, ESCAPES  # noqa: E402


def documents() -> dict[Path, str]:
    """What belongs into each generated file."""
    found = {
        example.stem: json.loads(example.read_text())
        for example in (ROOT / "schemas" / "examples").glob("*.json")
    }
    made = {
        ROOT / "schemas" / "json" / f"{message.name}.schema.json": published.json_schema(message)
        for message in (*published.MESSAGES, published.PROGRAM)
    }
    made[ROOT / "docs" / "asyncapi.json"] = asyncapi.document(found, topics())
    texts = {path: json.dumps(content, indent=2) + "\n" for path, content in made.items()}
    architecture, operations = ROOT / "docs" / "architecture.md", ROOT / "docs" / "operations.md"
    texts[architecture] = with_part(architecture.read_text(), "states", states())
    texts[operations] = with_part(operations.read_text(), "settings", settings())
    sandbox = ROOT / "docs" / "sandbox.md"
    texts[sandbox] = with_part(sandbox.read_text(), "escapes", escapes())
    return texts


def topics() -> dict[str, dict[str, Any]]:
    """How each topic is set up, as AsyncAPI's Kafka bindings say it."""
    return {
        name: {"partitions": topic.partitions, "topicConfiguration": _configuration(topic)}
        for name, topic in TOPICS.items()
    }


def _configuration(topic: Topic) -> dict[str, Any]:
    configs = kafka_topics.configs(topic)
    return {
        "cleanup.policy": configs["cleanup.policy"].split(","),
        "retention.ms": int(configs["retention.ms"]),
    }


def with_part(text: str, name: str, part: str) -> str:
    """*text* with *part* between the two marks of that name."""
    before, _, rest = text.partition(f"<!-- {name}: generated -->\n")
    _, _, after = rest.partition(f"<!-- {name}: end -->\n")
    return f"{before}<!-- {name}: generated -->\n{part}\n<!-- {name}: end -->\n{after}"


def states() -> str:
    """The transition table, drawn."""
    arrows = [
        f"  {stands or '[*]'} --> {end}: {tag(kind)}"
        for stands, row in TRANSITIONS.items()
        for kind, target in row.items()
        if (end := standing_after(stands, kind, target)) != stands
    ]
    ends = [f"  {state} --> [*]" for state in State if state.is_terminal]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, *ends, "```"])


def standing_after(stands: Standing, kind: type[Event], target: State) -> Standing:
    """Where a job that *stands* there does after an event of *kind*: a parked job runs, but stays so."""
    stays_parked = stands == PARKED and target is State.RUNNING
    return PARKED if kind is Parked or stays_parked else target


def settings() -> str:
    """The settings, as a table."""
    rows = [
        f"| `{variable}` | {default_of(field)} | {field.description} |"
        for variable, field in every_setting().items()
    ]
    return "\n".join(["| Variable | Default | |", "|---|---|---|", *rows])


def escapes() -> str:
    """What programs try that mean harm, and what each of them gets, as a table."""
    rows = [
        f"| {area if number == 0 else ''} | {escape.name} | {escape.told} |"
        for area, tried in AREAS.items()
        for number, escape in enumerate(tried)
    ]
    head = [f"{len(ESCAPES)} tries:", "", "| | What is tried | What it gets |", "|---|---|---|"]
    return "\n".join([*head, *rows])


def default_of(field: FieldInfo) -> str:
    """A default as the table shows it; one that depends on the machine is told in words."""
    if field.default_factory is not None or field.default in ("", None, ()):
        return ""
    return f"`{field.default}`"


def tag(kind: type[Event]) -> str:
    """The name of an event on the wire."""
    return str(kind.__struct_config__.tag)


def main() -> int:
    """Write, or with `--check` compare."""
    stale = 0
    for path, text in documents().items():
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(f"{'stale' if '--check' in sys.argv else 'wrote'} {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

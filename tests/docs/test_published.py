"""What is published about messages is what the code does."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from schemas import published
from schemas.topics import Message

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "schemas" / "examples").glob("*.json")}


def test_the_written_documents_are_what_the_code_makes() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, f"run python docs/generate.py\n{done.stdout}{done.stderr}"


def test_every_message_has_an_example_and_every_example_a_message() -> None:
    assert {message.name for message in published.MESSAGES} == set(EXAMPLES)


@pytest.mark.parametrize("message", published.MESSAGES, ids=lambda message: message.name)
def test_an_example_is_valid_and_is_what_the_code_reads(message: Message) -> None:
    text = EXAMPLES[message.name].read_bytes()

    jsonschema_rs.validator_for(published.json_schema(message)).validate(json.loads(text))
    read = msgspec.json.decode(text, type=message.kind)

    again = json.loads(msgspec.json.encode(read))
    assert again.items() <= (json.loads(text) | again).items()
    assert {**json.loads(text), **again}.keys() == json.loads(text).keys() | again.keys()


@pytest.mark.parametrize("message", published.MESSAGES, ids=lambda message: message.name)
def test_a_message_without_a_required_field_breaks_its_schema(message: Message) -> None:
    schema = published.json_schema(message)
    validator = jsonschema_rs.validator_for(schema)

    for name in schema["required"]:
        example = json.loads(EXAMPLES[message.name].read_text())
        del example[name]
        assert not validator.is_valid(example), name


def test_every_topic_of_the_document_lists_its_messages() -> None:
    document = json.loads((ROOT / "docs" / "asyncapi.json").read_text())

    listed = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert listed == {message.name for message in published.MESSAGES}


def test_every_optional_field_of_a_submit_may_be_null_and_integers_may_have_a_point() -> None:
    (message,) = (message for message in published.MESSAGES if message.name == "submit-job")
    schema = published.json_schema(message)
    validator = jsonschema_rs.validator_for(schema)

    for name in schema["properties"].keys() - {"program_id", "kind"}:
        assert validator.is_valid({"program_id": "p", name: None}), name
    assert validator.is_valid({"program_id": "p", "priority": 1.0})

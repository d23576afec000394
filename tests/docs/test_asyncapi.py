"""The AsyncAPI document is one that tools can read, and says what records are like."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import jsonschema_rs
import pytest

from broker.transports.blobs import open_blobs
from broker.transports.topics import TOPICS
from schemas import asyncapi, cloudevents, ledger_records, published, state_records, topics
from schemas.decoding import decode
from schemas.ledger import Entry, InputPosition, LedgerPlace, SessionEntry
from schemas.records import Record, Stored
from schemas.sessions import SESSION_EVENT_TYPES, session_key
from schemas.values import BlobRef, JobKey

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
MESSAGES = DOCUMENT["components"]["messages"]
MIRRORED = {"qjb-ledger", "qjb-reached"}
TIME, TRACE = "2026-11-23T09:30:00.125Z", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolved(pointer: str) -> Any:
    found = DOCUMENT
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def validator(name: str, part: str) -> jsonschema_rs.Draft7Validator:
    """Of a part of a message, with the whole document to refer to."""
    schema = {"allOf": [{"$ref": f"#/components/messages/{name}/{part}"}]}
    return jsonschema_rs.Draft7Validator(schema | {"components": DOCUMENT["components"]})


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))

    assert len(found) > 30
    for reference in found:
        assert reference.startswith("#/")
        assert isinstance(resolved(reference), dict), reference


def test_nothing_in_a_schema_changes_where_references_start_from() -> None:
    assert not any("$id" in message["payload"] for message in MESSAGES.values())


def test_the_document_has_the_parts_that_the_standard_wants() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
    for name in (*DOCUMENT["components"]["messages"], *DOCUMENT["components"]["schemas"]):
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    for message in MESSAGES.values():
        jsonschema_rs.Draft7Validator(message["payload"] | {"components": DOCUMENT["components"]})


def test_the_topics_of_tenants_are_channels_with_the_tenant_as_their_parameter() -> None:
    channels = DOCUMENT["channels"]
    found = {channel["address"]: channel for channel in channels.values()}
    asked, told = found["qjb.requests.v1.{tenant}"], found["qjb.events.v1.{tenant}"]

    for channel in channels.values():
        named = {field for _, field, *_ in Formatter().parse(channel["address"]) if field}
        assert named == channel.get("parameters", {}).keys()
    for channel, topic in ((asked, topics.requests_of("a")), (told, topics.events_of("a"))):
        assert channel["address"].format(tenant="a") == topic.name
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
        (name,) = [name for name, each in channels.items() if each is channel]
        references = [each["channel"]["$ref"] for each in DOCUMENT["operations"].values()]
        assert f"#/channels/{name}" in references
    assert asked["messages"] == channels[topics.REQUESTS.name]["messages"]
    ledger = channels[topics.EVENTS.name]["messages"]
    assert told["messages"].keys() == ledger.keys() - {"ledger-claim"}


@pytest.mark.parametrize("message", topics.EVENTS.messages, ids=lambda message: message.name)
def test_what_a_tenants_topic_says_beside_the_ledger_stands_in_headers(
    message: topics.Message,
) -> None:
    headers = MESSAGES[message.name]["headers"]
    if message.name == "ledger-claim":  # which is not there
        assert not named(headers) & MIRRORED
        return
    for record in records(message):
        stored = Stored(topics.EVENTS.name, 1, 7, 0, record.key, record.value, record.headers)
        mirrored = ledger_records.mirrored_record(stored, {1: LedgerPlace(8, 3)})
        told = {name: value.decode() for name, value in mirrored.headers}
        assert told.keys() >= MIRRORED
        assert told.keys() <= named(headers)
        validator(message.name, "headers").validate(told)
        assert not validator(message.name, "headers").is_valid(told | {"qjb-ledger": "x"})


@pytest.mark.parametrize("topic", TOPICS.keys() & DOCUMENT["channels"].keys())
def test_a_channel_says_how_its_topic_is_set_up(topic: str) -> None:
    binding = DOCUMENT["channels"][topic]["bindings"]["kafka"]
    kept = TOPICS[topic].retention

    assert binding["topic"] == topic
    assert binding["partitions"] == TOPICS[topic].partitions
    configuration = binding["topicConfiguration"]
    assert set(configuration["cleanup.policy"]) <= {"compact", "delete"}
    assert configuration["retention.ms"] == (-1 if kept is None else kept * 1000)


@pytest.mark.parametrize("name", MESSAGES)
def test_the_example_of_a_message_is_what_its_payload_may_be(name: str) -> None:
    (example,) = MESSAGES[name]["examples"]

    validator(name, "payload").validate(example["payload"])
    assert not validator(name, "payload").is_valid({})


def example(message: topics.Message) -> Any:
    text = (ROOT / "schemas" / "examples" / f"{message.name}.json").read_bytes()
    return decode(text, message.kind)


def records(message: topics.Message) -> Iterator[Record]:
    """Records as they are written: with everything in their headers, and with the least."""
    body = example(message)
    if message in topics.REQUESTS.messages:
        yield cloudevents.request_record(body, TIME, TRACE)
    elif message.name == "ledger-claim":
        yield ledger_records.claim_record(body, 0, TIME)
    elif message.name == "ledger-deletion":
        yield ledger_records.deletion_record(body)
    elif message.kind in SESSION_EVENT_TYPES:
        key = session_key("default", body.session_id)
        position = InputPosition("qjb.requests.v1", 0, 5)
        yield ledger_records.session_entry_record(SessionEntry(key, body, 7, position, TRACE))
        yield ledger_records.session_entry_record(SessionEntry(key, body, 7))
    elif message.name == "ledger-tagging":
        yield ledger_records.tagging_record(body)
    elif message in topics.EVENTS.messages:
        key = JobKey("default", body.job_id)
        yield ledger_records.entry_record(
            Entry(key, body, 7, 3, InputPosition("qjb.requests.v1", 0, 5), TRACE)
        )
        yield ledger_records.entry_record(Entry(key, body, 7, 0, None, None))
    elif message.name in ("job-snapshot", "job-deletion", "session-snapshot"):
        yield state_records.snapshot_record(body, 7, TIME)
    elif message.name == "ledger-checkpoint":
        yield state_records.checkpoint_record(body, TIME)
    elif message in topics.REPORTS.messages:
        yield cloudevents.report_record(body, TRACE)
    elif message in topics.INBOX.messages:
        yield cloudevents.instruction_record("w", body, TIME, TRACE)
    elif message in topics.STATUS.messages:
        yield cloudevents.status_record(body, TIME)
    elif message in topics.PROGRAMS.messages:
        yield cloudevents.program_record(body, TIME)
    elif message in topics.TENANTS.messages:
        yield cloudevents.tenant_record(body, TIME)
    elif message in topics.OPERATORS.messages:
        yield cloudevents.operator_record(body, TIME)
    else:
        yield cloudevents.dead_letter_record(body, TIME)


@pytest.mark.parametrize("message", published.MESSAGES, ids=lambda message: message.name)
def test_the_headers_of_records_are_those_that_the_document_lists(
    message: topics.Message,
) -> None:
    for record in records(message):
        headers = {name: value.decode() for name, value in record.headers}
        validator(message.name, "headers").validate(headers)
        if message not in topics.REQUESTS.messages:
            assert not validator(message.name, "headers").is_valid(headers | {"ce_type": "x"})
            assert not validator(message.name, "headers").is_valid({})
        assert set(headers) <= named(MESSAGES[message.name]["headers"])
        assert (record.key is not None) == ("key" in MESSAGES[message.name]["bindings"]["kafka"])


def named(schema: Any) -> set[str]:
    """The headers that *schema* tells of."""
    parts = [resolved(part["$ref"]) if "$ref" in part else part for part in schema.get("allOf", ())]
    return {name for part in (schema, *parts) for name in part.get("properties", ())}


async def test_a_payload_is_where_the_document_says(tmp_path: Path) -> None:
    told = DOCUMENT["x-blob-store"]["example"]
    ref = await open_blobs(str(tmp_path)).put(b"hello")

    assert ref == BlobRef(**told["reference"])
    data = (tmp_path / told["path"]).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (ref.sha256, ref.size)
    assert DOCUMENT["x-blob-store"] == asyncapi.BLOB_STORE

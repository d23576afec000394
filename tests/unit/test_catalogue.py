"""The catalogue: one table, in whatever pieces the topic is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.core.catalogue import Catalogue
from schemas.cloudevents import program_record, read_program
from schemas.decoding import UnreadableError
from schemas.records import Record, Stored
from schemas.specification import Schemas, Specification
from schemas.versions import ProgramHead, ProgramVersion
from tests.support.broker import hello_world

TIME = "2026-11-29T00:00:00.000Z"


def version(
    code: str = "def main(): pass", program_id: str = "coin-1", tenant: str = "default"
) -> ProgramVersion:
    specification = Specification(id=program_id, name="coin", max_execution_time=60)
    return ProgramVersion(tenant, specification, TIME, code=code)


def head(said: ProgramVersion, *, is_public: bool = False) -> ProgramHead:
    names = {"id": said.specification.id, "tenant": said.tenant, "version": said.version}
    return ProgramHead(**names, created=TIME, updated=TIME, is_public=is_public)


def catalogue(*said: ProgramVersion | ProgramHead) -> Catalogue:
    made = Catalogue([hello_world()])
    for each in said:
        made.take(each)
    return made


def test_what_a_job_pinned_stays_when_the_program_is_changed_or_deleted() -> None:
    old, new = version("1"), version("2")
    known = catalogue(old, head(old))
    pinned = known.get("coin-1")
    assert pinned is not None
    known.take(new)
    known.take(head(new))
    assert known.get("coin-1").version == new.version  # type: ignore[union-attr]
    known.forget(head(new).key)
    assert known.get("coin-1") is None
    for each in (old, new):
        assert known.pinned("coin-1", each.version).version == each.version  # type: ignore[union-attr]
        assert known.brought("coin-1", each.version) == each
    known.forget(old.key)
    assert known.pinned("coin-1", old.version) is None


def test_a_version_is_named_by_all_that_it_is() -> None:
    said = version()
    assert version("def main(): return 1").version != said.version
    limited = replace(said.specification, max_execution_time=61)
    assert replace(said, specification=limited).version != said.version
    later = replace(said, created="2027-01-01T00:00:00.000Z", retired=TIME)
    assert later.version == said.version


def test_only_its_author_sees_a_private_program() -> None:
    mine, theirs = version(), version(program_id="coin-2", tenant="other")
    known = catalogue(mine, head(mine), theirs, head(theirs))
    assert known.names() == ["hello-world", "coin-1"]
    assert known.get("coin-2") is None
    known.take(head(theirs, is_public=True))
    assert known.get("coin-2") is not None


def test_nothing_replaces_a_program_that_comes_with_this() -> None:
    known = catalogue()
    false = version(program_id="hello-world")
    for said in (false, head(false)):
        with pytest.raises(UnreadableError, match="hello-world comes with this"):
            known.take(said)
    known.forget(b"hello-world")
    assert known.get("hello-world") is known.pinned("hello-world", "whatever")
    assert known.get("hello-world") is not None


@pytest.mark.parametrize(
    "schema",
    [{"type": "no such type"}, {"$ref": "http://example.org/"}, {"pattern": "a" * 2000}],
)
def test_a_program_whose_schema_nobody_may_use_can_not_be_run(schema: dict[str, str]) -> None:
    said = version()
    broken = replace(said.specification, spec=Schemas(parameters=schema))
    said = replace(said, specification=broken)
    known = catalogue(said, head(said))
    assert known.get("coin-1") is None
    assert known.pinned("coin-1", said.version) is None


def test_what_has_no_room_is_passed_over_and_what_is_there_can_be_replaced() -> None:
    first, second = version("1"), version("2")
    known = Catalogue(room=1)
    known.take(first)
    with pytest.raises(UnreadableError, match="no room"):
        known.take(second)
    known.take(replace(first, retired=TIME))
    known.forget(first.key)
    known.take(second)
    assert [each.said for each in known.versions_of("default")] == [second]


def test_a_record_says_what_its_key_says() -> None:
    said = version()
    for each in (said, head(said)):
        record = program_record(each, TIME)
        assert read_program(stored(record)) == each
        with pytest.raises(UnreadableError, match="its key should be"):
            read_program(stored(replace(record, key=b"coin-2")))


def stored(record: Record) -> Stored:
    return Stored("qjb.programs.v1", 0, 0, 0, record.key, record.value, record.headers)


@given(st.data())
def test_compacted_or_read_again_from_the_start_it_is_the_same_table(data: st.DataObject) -> None:
    versions = [version(code, program) for program in ("coin-1", "coin-2") for code in ("1", "2")]
    said = st.sampled_from([*versions, *map(head, versions)])
    keys = st.sampled_from([each.key for each in (*versions, *map(head, versions))])
    steps = data.draw(st.lists(st.one_of(said, keys), max_size=20))
    whole = folded(steps)
    begin = data.draw(st.integers(0, len(steps)))
    assert told(folded([*steps[:begin], *steps])) == told(whole)
    newest = {key_of(step): number for number, step in enumerate(steps)}
    compacted = [step for number, step in enumerate(steps) if newest[key_of(step)] == number]
    assert told(folded(compacted)) == told(whole)
    assert folded(compacted).weight == whole.weight


def key_of(step: ProgramVersion | ProgramHead | bytes) -> bytes:
    return step if isinstance(step, bytes) else step.key


def folded(steps: list[ProgramVersion | ProgramHead | bytes]) -> Catalogue:
    made = Catalogue()
    for step in steps:
        if isinstance(step, bytes):
            made.forget(step)
        else:
            made.take(step)
    return made


def told(known: Catalogue) -> tuple[object, ...]:
    seen = sorted((each.program.id, each.program.version) for each in known.seen_by())
    brought = [each.said for each in known.versions_of("default")]
    return seen, sorted(brought, key=lambda each: each.key)

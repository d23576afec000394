"""Programs over HTTP: what can be imported, and what somebody brings."""

import base64
import gzip
import io
import json
import zlib
from typing import Any

import aiohttp
import pytest

from broker.gateway.fleet import Fleet
from broker.gateway.uploading import UNCHECKED
from schemas.limits import LARGEST_CODE
from schemas.uploads import Upload
from schemas.workers import EnvironmentAnnounced, Heartbeat, Package
from tests.support.gateway import Running, eventually, running

PACKAGES = (Package("PyYAML", "6.0.4", ("_yaml", "yaml")),)


async def has_workers(served: Running, *names: str, packages: tuple[Package, ...]) -> None:
    """Workers of these *names* live, and have *packages*."""
    for name in names:
        await served.ledger.status(
            EnvironmentAnnounced(name, "3.11.7", packages),
            Heartbeat(worker=name, instance="i", slots=1, backends=()),
        )
    fleet: Fleet = served.gateway._parts.fleet
    await eventually(lambda: len(fleet.environments) >= len(names))


async def test_what_programs_can_import_is_listed_once_for_workers_that_have_the_same() -> None:
    async with running() as served:
        before = await served.get("/programs/environment")
        await has_workers(served, "w2", "w1", packages=PACKAGES)
        found = await served.get("/programs/environment")

    assert before == {"environments": []}
    assert found["environments"] == [
        {
            "workers": ["w1", "w2"],
            "python": "3.11.7",
            "packages": [{"name": "PyYAML", "version": "6.0.4", "modules": ["_yaml", "yaml"]}],
        }
    ]


CODE = b"def main(backend, user_messenger, **kwargs):\n    return 'done'\n"
NEWER = CODE.replace(b"done", b"newer")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def packed(code: bytes) -> str:
    return base64.b64encode(code).decode()


def new(**fields: Any) -> dict[str, Any]:
    return {"name": "my program", "data": packed(CODE)} | fields


async def asked(served: Running, method: str, path: str, body: Any = b"", status: int = 200) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await served._ask(method, path, status, data=data)


async def test_a_program_that_was_brought_is_shown_with_its_code_to_its_author() -> None:
    async with running() as served:
        made = await served.post(
            "/programs",
            new(cost=300, description="Mine.", spec={"parameters": SCHEMA}),
            201,
        )
        shown = await served.get(f"/programs/{made['id']}")
        listed = await served.get("/programs?limit=200")
        code = await served.get(f"/programs/{made['id']}/data")

    assert made["id"].startswith("my-program-")
    assert (shown["name"], shown["cost"], shown["description"]) == ("my program", 300, "Mine.")
    assert (shown["is_public"], shown["built_in"]) == (False, False)
    assert shown["spec"]["parameters"] == SCHEMA
    assert shown["data"] == code == CODE.decode()
    assert made["id"] in [program["id"] for program in listed["programs"]]
    assert all("data" not in program for program in listed["programs"])


async def test_code_and_words_are_changed_each_by_itself_and_each_time_is_a_version() -> None:
    async with running() as served:
        first = await served.post("/programs", new(spec={"parameters": SCHEMA}), 201)
        path = f"/programs/{first['id']}"
        words = await asked(served, "PATCH", path, {"description": "New.", "cost": 7})
        code = await asked(served, "PUT", f"{path}/data", packed(NEWER).encode())
        both = await asked(served, "PATCH", path, {"name": "b", "data": packed(CODE)})
        shown = await served.get(path)

    versions = [one["version"] for one in (first, words, code, both)]
    assert len(set(versions)) == 4
    assert (code["description"], code["cost"]) == ("New.", 7)
    assert (shown["id"], shown["name"], shown["data"]) == (first["id"], "b", CODE.decode())
    assert shown["spec"]["parameters"] == SCHEMA
    assert shown["creation_date"] == first["creation_date"] < shown["update_date"]


async def test_the_same_again_is_the_same_version() -> None:
    async with running() as served:
        first = await served.post("/programs", new(), 201)
        again = await asked(served, "PUT", f"/programs/{first['id']}/data", packed(CODE).encode())

    assert again["version"] == first["version"]


async def test_a_program_is_public_or_private_as_its_author_says() -> None:
    async with running() as served:
        made = await served.post("/programs", new(is_public=True), 201)
        path = f"/programs/{made['id']}"
        hidden = await asked(served, "PUT", f"{path}/private")
        shown = await asked(served, "PUT", f"{path}/public")

    assert [one["is_public"] for one in (made, hidden, shown)] == [True, False, True]
    assert len({one["version"] for one in (made, hidden, shown)}) == 1


async def test_a_program_that_was_deleted_is_gone() -> None:
    async with running() as served:
        made = await served.post("/programs", new(), 201)
        path = f"/programs/{made['id']}"
        await served.delete(path)
        for method, where in (("GET", path), ("DELETE", path), ("PUT", f"{path}/public")):
            error = await asked(served, method, where, status=404)
            assert error["error"]["code"] == "unknown_program"
        await served.post("/jobs", {"program_id": made["id"]}, 404)


async def test_a_submit_can_be_repeated_after_its_program_was_deleted() -> None:
    async with running(brokered=True) as served:
        made = await served.post("/programs", new(), 201)
        asked = {"program_id": made["id"], "job_id": "mine", "params": {"a": 1, "b": 2.0}}
        first = await served.post("/jobs", asked)
        await served.delete(f"/programs/{made['id']}")
        again = await served.post("/jobs", asked | {"params": {"b": 2, "a": 1}})
        changed = await served.post("/jobs", asked | {"params": {"a": 2}}, 409)
        other = await served.post("/jobs", asked | {"job_id": "other"}, 404)
        another = await served.post("/jobs", asked | {"program_id": "never-there"}, 404)

    assert again == first
    assert changed["error"]["code"] == "job_exists"
    assert other["error"]["code"] == another["error"]["code"] == "unknown_program"


async def test_nobody_changes_what_comes_with_the_service() -> None:
    async with running() as served:
        for method, path, body in (
            ("PATCH", "/programs/sampler", {"cost": 1}),
            ("PUT", "/programs/sampler/data", packed(CODE).encode()),
            ("PUT", "/programs/sampler/private", b""),
            ("DELETE", "/programs/sampler", b""),
            ("GET", "/programs/sampler/data", b""),
        ):
            error = await asked(served, method, path, body, 403)
            assert error["error"]["code"] == "not_your_program"


async def test_what_others_brought_is_seen_only_if_it_is_public_and_never_its_code() -> None:
    async with running() as served:
        programs = served.gateway._parts.programs
        private, public = [
            (await programs.upload("other", Upload(name="x", is_public=is_public), CODE)).program.id
            for is_public in (False, True)
        ]
        seen = await served.get("/programs?name=x")
        found = await served.get(f"/programs/{public}")
        await served.get(f"/programs/{public}/data", 403)
        await asked(served, "PATCH", f"/programs/{public}", {"cost": 1}, 403)
        unseen = [
            await asked(served, *one, status=404)
            for one in (
                ("GET", f"/programs/{private}"),
                ("GET", f"/programs/{private}/data"),
                ("DELETE", f"/programs/{private}"),
                ("PATCH", f"/programs/{private}", {"cost": 1}),
                ("PUT", f"/programs/{private}/public"),
                ("POST", "/jobs", {"program_id": private}),
            )
        ]

    assert [program["id"] for program in seen["programs"]] == [public]
    assert "data" not in found
    assert all(error["error"]["code"] == "unknown_program" for error in unseen)


async def test_programs_are_found_by_name_and_by_words() -> None:
    async with running() as served:
        made = [
            (await served.post("/programs", new(name="twin", description=text), 201))["id"]
            for text in ("One.", "Another that DRAWS.")
        ]
        by_name = await served.get("/programs?name=twin")
        page = await served.get("/programs?name=twin&limit=1&offset=1")
        by_word = await served.get("/programs?search=draws")

    assert [one["id"] for one in by_name["programs"]] == sorted(made)
    assert (len(page["programs"]), page["count"]) == (1, 2)
    assert made[1] in [one["id"] for one in by_word["programs"]]
    assert made[0] not in [one["id"] for one in by_word["programs"]]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is not JSON"),
        (b"[]", 400, "object"),
        (b"name=x&data=y", 400, "the body is not JSON"),
        (b"{}", 400, '"name" is a required property'),
        (new(data="?"), 400, "data: it is no base64"),
        (new(data=packed(b"def main(:")), 400, "data: line 1, column 10: invalid syntax"),
        (new(data=packed(b"x = 1")), 400, "no function main"),
        (new(cost="soon"), 400, "cost"),
        (new(spec={"parameters": {"type": "thing"}}), 400, "spec.parameters"),
        (b'{"spec": ' + b"[" * 100_000, 400, "the body is not JSON"),
        (b'{"data": "' + b"A" * 5_000_000 + b'"}', 413, "at most 4,194,304"),
        (new(data=packed(b"x" * 1_100_000)), 400, "at most 1,048,576"),
        (new(data=packed(b"a = " + b"-" * 900_000 + b"1")), 400, "too deeply"),
    ],
)
async def test_what_is_no_program_is_refused_in_words(body: Any, status: int, said: str) -> None:
    async with running() as served:
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        error = await served._ask("POST", "/programs", status, data=data)
        await served.post("/programs", new(), 201)

    assert said in error["error"]["message"]


async def test_every_fault_is_listed_with_path_rule_and_value() -> None:
    async with running() as served:
        error = await served.post("/programs", new(cost=-1, name=7), 400)

    assert {(one["path"], one["value"]) for one in error["errors"]} == {
        ("/cost", "-1"),
        ("/name", "7"),
    }
    assert all(one["rule"] for one in error["errors"])


async def test_a_program_that_imports_what_is_missing_is_refused_with_all_of_it() -> None:
    code = packed(b"import torch, yaml\nfrom qiskit.opflow import X\nimport pandas\n" + CODE)
    async with running() as served:
        early = await served.post("/programs", new(data=packed(b"import torch\n" + CODE)), 201)
        await has_workers(served, "w1", packages=PACKAGES)
        error = await served.post("/programs", new(data=code), 400)
        made = await served.post("/programs", new(data=packed(b"import yaml\n" + CODE)), 201)
        update = await asked(
            served, "PUT", f"/programs/{made['id']}/data", code.encode(), status=400
        )

    assert early["warnings"] == [UNCHECKED]
    assert error["error"]["code"] == update["error"]["code"] == "missing_imports"
    assert [one["value"] for one in error["errors"]] == ["qiskit.opflow", "torch", "pandas"]
    assert "warnings" not in made


async def test_an_update_that_says_nothing_is_refused() -> None:
    async with running() as served:
        made = await served.post("/programs", new(), 201)
        error = await asked(served, "PATCH", f"/programs/{made['id']}", {}, 400)

    assert "what changes" in error["error"]["message"]


async def test_the_form_of_the_oldest_clients_is_read() -> None:
    words = [{"name": "n", "description": "How many.", "type": "int", "required": True}]
    form = aiohttp.FormData()
    for name, value in {
        "name": "oldest",
        "cost": "600",
        "description": "As in 2021: é.",
        "max_execution_time": "600",
        "version": "1.0",
        "backendRequirements": json.dumps({"min_num_qubits": 5}),
        "parameters": json.dumps({"doc": words}),
        "returnValues": json.dumps([{"name": "-", "description": "The end.", "type": "string"}]),
    }.items():
        form.add_field(name, value)
    form.add_field("program", CODE, filename="oldest")
    async with running() as served:
        made = await served._ask("POST", "/programs", 201, data=form)
        shown = await served.get(f"/programs/{made['id']}")

    assert (shown["name"], shown["cost"], shown["data"]) == ("oldest", 600, CODE.decode())
    assert shown["description"] == "As in 2021: é."
    assert shown["spec"]["backend_requirements"]["min_num_qubits"] == 5
    assert shown["spec"]["parameters"]["required"] == ["n"]
    assert "warnings" not in made


@pytest.mark.parametrize("size", [200_000, LARGEST_CODE])
async def test_a_form_holds_as_much_code_as_a_program_may_have(size: int) -> None:
    def form(code: bytes, name: str) -> aiohttp.FormData:
        made = aiohttp.FormData({"name": "large"})
        made.add_field(name, io.BytesIO(code + b"#" * (size - len(code))), filename="large.py")
        return made

    async with running() as served:
        made = await served._ask("POST", "/programs", 201, data=form(CODE, "program"))
        path = f"/programs/{made['id']}/data"
        await served._ask("PUT", path, 200, data=form(NEWER, "data"))
        code = await served.get(path)

    assert (code[: len(NEWER)], len(code)) == (NEWER.decode(), size)


def packed_part(how: bytes) -> bytes:
    """A form of a kilobyte whose code would be a megabyte."""
    head = b'Content-Disposition: form-data; name="program"; filename="a"'
    data = (gzip.compress if how == b"gzip" else zlib.compress)(b"#" * 1_000_000)
    return b"--x\r\n%b\r\nContent-Encoding: %b\r\n\r\n%b\r\n--x--\r\n" % (head, how, data)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "form"),
        (b"--x\r\n", "form"),
        (b"nothing", "form"),
        (b'--x\r\nContent-Disposition: form-data; name="\x06"\r\n\r\n1\r\n--x--\r\n', "form"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 30 + b"--x--\r\n", "20"),
        (b'--x\r\nContent-Disposition: form-data; name="cost"\r\n\r\nsoon\r\n--x--\r\n', "cost"),
        (b'--x\r\nContent-Disposition: form-data; name="cost"\r\n\r\nnull\r\n--x--\r\n', "cost"),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n", "20 parts"),
        (packed_part(b"gzip"), "Content-Encoding"),
        (packed_part(b"deflate"), "Content-Encoding"),
        (b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n', "UTF-8"),
        (b"\n" * 200_000, "does not begin"),
        (b"before it\r\n--x--\r\n", "does not begin"),
    ],
)
async def test_a_form_that_is_none_is_refused(body: bytes, said: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with running() as served:
        error = await served._ask("POST", "/programs", 400, data=body, headers=headers)

    assert said in json.dumps(error)


@pytest.mark.parametrize("depth", [100, 253, 254, 1000])
@pytest.mark.parametrize("field", ["spec", "parameters", "returnValues"])
async def test_a_form_is_nested_no_deeper_than_json_may_be(field: str, depth: int) -> None:
    form = aiohttp.FormData({"name": "deep", field: '{"doc":' * depth + "1" + "}" * depth})
    form.add_field("program", CODE, filename="deep.py")
    async with running() as served:
        error = await served._ask("POST", "/programs", 400, data=form)

    assert "nested deeper than 64" in error["error"]["message"]


@pytest.mark.parametrize("path", ["/programs", "/programs/mine", "/programs/mine/data"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_what_is_too_large_for_a_program_is_not_even_read(path: str, kind: str) -> None:
    method = {"/programs": "POST", "/programs/mine": "PATCH"}.get(path, "PUT")
    async with running() as served:
        error = await served._ask(
            method, path, 413, data=io.BytesIO(b" " * (5 * 2**20)), headers={"Content-Type": kind}
        )

    assert error["error"]["code"] == "too_large"
    assert "at most 4,194,304" in error["error"]["message"]


async def test_a_program_is_refused_where_no_worker_has_a_sandbox_for_it() -> None:
    async with running() as served:
        await served.ledger.fleet(sandbox="")
        fleet: Fleet = served.gateway._parts.fleet
        await eventually(lambda: set(fleet.sandboxes.values()) == {"none"})
        refused = await asked(served, "POST", "/programs", new(), 403)
        await served.ledger.fleet(sandbox="reduced")
        await eventually(lambda: set(fleet.sandboxes.values()) == {"reduced"})
        await asked(served, "POST", "/programs", new(), 201)

    assert refused["error"]["code"] == "no_sandbox"
    assert "qjb sandbox-check" in refused["error"]["message"]

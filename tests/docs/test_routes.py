"""Every route is in the docs, and the examples of its bodies are what it takes."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from broker.gateway.api.routes import API, AROUND, description
from broker.gateway.api.shapes_of_login import PLAN

DOCS = Path(__file__).parents[2] / "docs"
DESCRIPTION = json.loads(description())
SAID = " ".join(path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md")))


def _plain(path: str) -> str:
    """*path* without the names of what may stand in it, which docs call as they like."""
    return re.sub(r"\{\w+\}", "{}", path)


@pytest.mark.parametrize("path", sorted({route.path for route in (*API, *AROUND)}))
def test_a_route_is_in_the_docs(path: str) -> None:
    said, route = _plain(SAID), _plain(path)
    trees = re.findall(r"`GET (/\S+/)…`", said)  # and all that is below
    last = "…/" + path.rpartition("/")[2]  # where several are told at once
    is_the_plan = path == f"/{PLAN}" and "the one plan of the catalogue" in said

    assert f" {route}`" in said or last in said or route.startswith(tuple(trees)) or is_the_plan


def _examples() -> list[tuple[str, Any, Any]]:
    return [
        (operation["operationId"], content["schema"], example["value"])
        for item in DESCRIPTION["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        for content in operation.get("requestBody", {"content": {}})["content"].values()
        for example in content.get("examples", {}).values()
    ]


@pytest.mark.parametrize(("operation", "schema", "value"), _examples())
def test_an_example_keeps_to_its_schema(operation: str, schema: Any, value: Any) -> None:
    whole = schema | {"components": DESCRIPTION["components"]}

    assert jsonschema_rs.Draft202012Validator(whole).is_valid(value), operation

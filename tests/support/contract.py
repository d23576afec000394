"""Answers held against the API's own description."""

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs

from broker.gateway.api.routes import description
from schemas.values import Reason

DESCRIPTION = json.loads(description())


REFUSALS = DESCRIPTION["components"]["responses"]
ERROR = REFUSALS["Error"]["content"]["application/json"]
# What any request may meet; and why a broker rejects a job, which is told by its reason.
ANYWHERE = {*ERROR["examples"], *Reason, "internal_error"}
UNNAMED = (417, 421, 431, 500)  # whatever is asked for


def template_of(path: str) -> str:
    """The path of the description that *path* is an instance of."""
    plain = path.partition("?")[0].rstrip("/") or "/"
    for template in DESCRIPTION["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), plain):
            return str(template)
    raise AssertionError(f"{path} is not in the description")


def check(method: str, path: str, status: int, media_type: str, body: bytes) -> None:
    """Whether the description allows that answer."""
    operation = DESCRIPTION["paths"][template_of(path)][method.lower()]
    responses = operation["responses"]
    assert str(status) in responses or status in UNNAMED, f"{status} of {path} is not described"
    answer = responses.get(str(status), REFUSALS["Error"])
    if "$ref" in answer:
        answer = REFUSALS[answer["$ref"].rpartition("/")[2]]
    content = answer.get("content", {})
    if not body and not content:
        return
    assert media_type in content, f"{media_type} of {path} is not described"
    if str(status) in responses and status >= 400:
        code = json.loads(body)["error"]["code"]
        told = content[media_type].get("examples", {code: None}).keys() | ANYWHERE
        assert code in told, f"the error {code} of {method} {path} is not described"
    if media_type == "application/json":
        schema = json.dumps(content[media_type]["schema"])
        errors = [str(error) for error in _validator(schema).iter_errors(json.loads(body))]
        assert not errors, (path, errors[:3])


@cache
def _validator(schema: str) -> Any:
    whole = json.loads(schema) | {"components": DESCRIPTION["components"]}
    return jsonschema_rs.Draft202012Validator(whole)

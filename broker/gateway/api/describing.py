"""Small words that the description of the API is written in (OpenAPI 3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import msgspec

Schema = dict[str, Any]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Body:
    """A body of a request or of an answer: what it says, and as what, by media type.

    A type stands for JSON of it; a `Schema` for itself.
    """

    description: str
    kinds: Any  # one, or by media type
    examples: Mapping[str, Any] = field(default_factory=dict)  # of the JSON, by name
    is_needed: bool = True  # of a request: whether it must be there

    @property
    def by_media_type(self) -> Mapping[str, Any]:
        """Its kinds, by media type."""
        return self.kinds if isinstance(self.kinds, Mapping) else {JSON: self.kinds}


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_object(required: str = "", **properties: Any) -> Schema:
    """An object with those properties, of which the names in *required* are always there."""
    made: Schema = {"type": "object", "properties": properties}
    return made | ({"required": required.split()} if required else {})


def a_list(items: Schema) -> Schema:
    """A list of *items*."""
    return {"type": "array", "items": items}


def text(description: str = "", **more: Any) -> Schema:
    """A string."""
    return {"type": "string"} | ({"description": description} if description else {}) | more


def or_null(schema: Schema) -> Schema:
    """What *schema* says, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


WHOLE: Schema = {"type": "integer", "minimum": 0}
YES_OR_NO: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
SECONDS = NUMBER | {"minimum": 0}
ANY: Schema = {}


def as_json(description: str, schema: Schema) -> Schema:
    """An answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def an_error(description: str) -> Schema:
    """An answer that says what is wrong."""
    return as_json(description, ref("Error"))


def of_type(description: str, media_type: str, schema: Schema | None = None) -> Schema:
    """An answer of that media type."""
    return {"description": description, "content": {media_type: {"schema": schema or text()}}}


def query(name: str, schema: Schema, description: str) -> Schema:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header(name: str, description: str) -> Schema:
    """A header of the request."""
    return {"name": name, "in": "header", "description": description, "schema": text()}

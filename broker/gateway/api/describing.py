"""Small words that the description of the API is written in (OpenAPI 3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import msgspec

Schema = dict[str, Any]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Time: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


@dataclass(frozen=True, slots=True)
class Body:
    """A body of a request or of an answer: what it says, and as what, by media type.

    A type stands for JSON of it; a `Schema` for itself, where what is asked is checked by it.
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


# What is said of an answer of which a part can be asked for
PARTS = {
    "Range": "One part of it, such as `bytes=0-99`.",
    "If-None-Match": "The `ETag` of what the client has.",
}
PART: Mapping[int, Body | str] = {
    206: Body("The part that was asked for.", Any),
    304: "It is what the client has.",
}

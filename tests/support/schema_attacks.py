"""Schemas as people write them who mean harm, and one value for each.

`python -m tests.support.schema_attacks` tries each in a process with little memory and little time,
and prints what came of it, a JSON object a line.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from schemas.specification import Program, SpecificationError, parse_specification

SECONDS = 2  # of the processor
MEMORY = 192 * 1024**2  # bytes beside what the process has


class Attack(NamedTuple):
    """What is tried: a schema, a value, and words of the refusal; none if it is to do no harm."""

    schema: dict[str, Any]
    value: Any = {}  # noqa: RUF012  only read
    refused: str = ""


def about(part: Any) -> dict[str, Any]:
    """A schema of an object with the one property that an attack is about."""
    return {"type": "object", "properties": {"a": part}}


def chain(word: str, last: Any) -> dict[str, Any]:
    """References that double at each of 25 steps."""
    steps = {f"d{n}": {word: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(25)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, "d25": last}}


def nested(value: Any, times: int, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(times):
        value = wrap(value)
    return value


DEEP = nested({}, 90, lambda inner: {"a": inner})
PATTERNS = ["^(a+)+$"] + [rf"^\w{{1,8}}{number}$" for number in range(40)]
AGAIN = {"properties": {"a": {"$ref": "#"}}, "required": ["b"]}
MULTIPLY = "references and alternatives multiply"
OUTSIDE = "points outside the schema"
LOOKS = "looks around or back, or is too large"
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                {
                    "type": "object",
                    "properties": {"a": {"$ref": "#/$defs/tree"}, "b": {"$ref": "#/$defs/tree"}},
                    "additionalProperties": {"$ref": "#/$defs/tree"},
                },
            ]
        }
    },
}
RING = {
    "$ref": "#/$defs/d0",
    "$defs": {f"d{n}": about({"$ref": f"#/$defs/d{(n + 1) % 600}"}) for n in range(600)},
}

ATTACKS: dict[str, Attack] = {
    # size
    "more bytes than allowed": Attack({"description": "x" * 65536}, {}, "at most 65536"),
    "deeper than allowed": Attack(
        nested({}, 65, lambda inner: {"not": inner}), {}, "nested deeper than 64"
    ),
    "more sub-schemas than allowed": Attack(
        {"allOf": [{}] * 2001}, {}, "more than 2000 sub-schemas"
    ),
    # elsewhere
    "a reference to the network": Attack(about({"$ref": "http://127.0.0.1:1/x"}), {}, OUTSIDE),
    "a reference to a file": Attack(about({"$ref": "file:///etc/passwd"}), {}, OUTSIDE),
    "a reference beside the schema": Attack(about({"$ref": "other.json#/a"}), {}, OUTSIDE),
    "a reference to a name": Attack(about({"$ref": "#name"}), {}, OUTSIDE),
    "a reference to nothing": Attack(about({"$ref": "#/$defs/none"}), {}, "names no part"),
    "a remote dynamic reference": Attack(
        about({"$dynamicRef": "http://127.0.0.1:1/x#a"}), {}, "$dynamicRef is not accepted"
    ),
    "a recursive reference": Attack(about({"$recursiveRef": "#"}), {}, "$recursiveRef is not"),
    "an id that changes what references mean": Attack(
        {"properties": {"a": {"$id": "http://127.0.0.1:1/x", "$ref": "#/properties"}}},
        {},
        "only the whole schema may have one",
    ),
    "an id of the whole is a name only": Attack(
        {"$id": "http://127.0.0.1:1/x", **about({"$ref": "#/$defs/a"}), "$defs": {"a": {}}},
        {"a": 1},
    ),
    "a meta-schema of the network": Attack({"$schema": "http://127.0.0.1:1/meta"}, {}, "$schema"),
    "a meta-schema of a file": Attack({"$schema": "file:///etc/passwd"}, {}, "$schema"),
    # patterns
    "nested quantifiers": Attack(about({"pattern": "^(a+)+$"}), {"a": "a" * 10_000 + "!"}),
    "alternatives that overlap": Attack(about({"pattern": "^(a|aa)+$"}), {"a": "a" * 10_000 + "!"}),
    "looking ahead": Attack(about({"pattern": "^(?=(a+)+$)b"}), {}, LOOKS),
    "looking behind": Attack(about({"pattern": "(?<=(a+)+)b"}), {}, LOOKS),
    "looking back": Attack(about({"pattern": r"^(a*)*\1$"}), {}, LOOKS),
    "an atomic group": Attack(about({"pattern": "^(?>a+)+b$"}), {}, LOOKS),
    "repeats of repeats": Attack(about({"pattern": "((a{1,100}){1,100}){1,100}"}), {}, LOOKS),
    "a large class many times": Attack(about({"pattern": r"\p{L}{1000}"}), {}, LOOKS),
    "a pattern that is none": Attack(about({"pattern": "("}), {}, LOOKS),
    "a pattern of names": Attack(about({"patternProperties": {"^(?!(a+)+$)": False}}), {}, LOOKS),
    "a pattern that is long": Attack(about({"pattern": "(" * 600 + ")" * 600}), {}, "of more than"),
    "many patterns": Attack(
        about({"allOf": [{"pattern": f"a{n}"} for n in range(60)]}), {}, "more than 50 patterns"
    ),
    "as many patterns as there may be": Attack(
        about({"allOf": [{"pattern": pattern} for pattern in PATTERNS]}), {"a": "é" * 8_000}
    ),
    "patterns in values": Attack(
        about({"items": {"format": "regex"}}), {"a": [r"\p{L}{1000}"] * 200}, "format regex"
    ),
    # what multiplies
    "all of doubled": Attack(chain("allOf", {"type": "object"}), {}, MULTIPLY),
    "any of doubled": Attack(chain("anyOf", {"type": "string"}), {}, MULTIPLY),
    "one of doubled": Attack(chain("oneOf", {"type": "object"}), {}, MULTIPLY),
    "a reference to itself": Attack({"$ref": "#"}, {}, MULTIPLY),
    "references in a ring": Attack(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {},
        MULTIPLY,
    ),
    "the negation of itself": Attack({"not": {"$ref": "#"}}, {}, MULTIPLY),
    "looking twice at each level": Attack({"anyOf": [AGAIN, AGAIN]}, DEEP, MULTIPLY),
    "looking twice by names and patterns": Attack(
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}},
        DEEP,
        MULTIPLY,
    ),
    "looking again for what nobody looked at": Attack(
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}], "unevaluatedProperties": False},
        DEEP,
        "unevaluatedProperties is not accepted",
    ),
    "many alternatives": Attack(
        about({"anyOf": [{"required": [f"{n}"]} for n in range(1200)]}), {"a": {}}, MULTIPLY
    ),
    "as many alternatives as there may be, for many values": Attack(
        about({"items": {"anyOf": [{"required": [f"{n}"]} for n in range(900)]}}),
        {"a": [{}] * 5_000},
    ),
    "as many alternatives as there may be, for few values": Attack(
        about({"items": {"anyOf": [{"required": [f"{n}"]} for n in range(900)]}}),
        {"a": [{}] * 95},
    ),
    "a long list of words": Attack(about({"enum": list(range(12_000))}), {"a": -1}, MULTIPLY),
    "as long a list of words as there may be": Attack(
        about({"items": {"enum": [n + 0.5 for n in range(900)]}}), {"a": [0.1] * 5_000}
    ),
    "a ring of 600": Attack(RING, {"a": {"a": [1] * 200}}),
    # words
    "all different": Attack(
        about({"uniqueItems": True}), {"a": [[{"n": 0}] * 9 + [n] for n in range(4_000)]}
    ),
    "a multiple of next to nothing": Attack(about({"multipleOf": 5e-324}), {"a": 1.7e308}),
    "a multiple of nothing": Attack(about({"multipleOf": 0}), {"a": 1}, "minimum of 0"),
    "a length that no number holds": Attack(about({"minLength": 2**70}), {}, "parameters"),
    "a type that is none": Attack(about({"type": "nonsense"}), {}, "nonsense"),
    "formats of long texts": Attack(
        about(
            {
                "items": {
                    "anyOf": [
                        {"format": name}
                        for name in (
                            *("date-time", "duration", "email", "idn-email", "hostname", "uri"),
                            *("idn-hostname", "ipv4", "ipv6", "iri", "uuid", "uri-template"),
                            *("json-pointer", "relative-json-pointer", "uri-reference"),
                        )
                    ]
                }
            }
        ),
        {"a": ["xn--" + "a" * 7_000, "a." * 3_500, "P" + "1Y" * 3_500, "{" * 7_000, "@" * 7_000]},
    ),
    # what harms nobody
    "a tree of anything": Attack(TREE, DEEP),
    "a property that is called like a keyword": Attack(
        {"properties": {"$ref": {}, "$id": {}, "$anchor": {}, "unevaluatedItems": {}}},
        {"$ref": "http://example.com", "$anchor": "a"},
    ),
}


def outcome(attack: Attack) -> str:
    """How the schema was refused, or that the value was looked at."""
    text = {"id": "p", "name": "p", "max_execution_time": 1, "spec": {"parameters": attack.schema}}
    try:
        program = Program(parse_specification(json.dumps(text).encode()))
    except SpecificationError as error:
        return f"refused: {error}"
    found = program.check_parameters(json.dumps(attack.value).encode())
    return f"looked at: {len(found)} violations"


def _tried(name: str) -> int:
    """Try one in a process of its own; its wait status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    _say(name, outcome(ATTACKS[name]))
    os._exit(0)


def _say(name: str, text: str) -> None:
    print(json.dumps([name, text]), flush=True)


if __name__ == "__main__":
    for each in sys.argv[1:] or ATTACKS:
        if status := _tried(each):
            _say(each, f"died: {status}")

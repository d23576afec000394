"""Write the documents that are made from the code: `python docs/generate.py [--check]`.

Makes `schemas/json/*.schema.json` and `docs/asyncapi.json` out of `schemas/published.py` and the
examples in `schemas/examples`. With `--check` nothing is written; exit status 1 if anything differs.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from schemas import published  # noqa: E402  # needs the path above when it is run as a script


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
    made[ROOT / "docs" / "asyncapi.json"] = published.asyncapi(found)
    return {path: json.dumps(content, indent=2) + "\n" for path, content in made.items()}


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

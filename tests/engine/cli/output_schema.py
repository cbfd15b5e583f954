"""The published schema of `--json`, read by the library for JSON Schema."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from secateur.engine.cli import schema


@cache
def described() -> dict[str, Any]:
    """The schema."""
    return json.loads((Path(schema.__file__).parent / schema.SCHEMA).read_text(encoding="utf-8"))


@cache
def _validator(part: str) -> Draft202012Validator:
    """For the whole schema (""), or for one of its definitions."""
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": described()["$defs"]} if part else described())


def problems(printed: bytes | str) -> list[str]:
    """What in the output of a command the schema does not allow, said of the command's own definition."""
    content = json.loads(printed)
    part = f"command-{content.get('command')}" if "command" in content else "failure"
    if part not in described()["$defs"]:
        return [f"no definition {part}"]
    found = [f"{list(one.path)}: {one.message}" for one in _validator(part).iter_errors(content)]
    return found or [one.message for one in _validator("").iter_errors(content)]

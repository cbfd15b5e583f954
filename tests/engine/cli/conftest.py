"""Whatever a command prints with --json in these tests is held against the published schema."""

from collections.abc import Callable
from typing import Any

import pytest

from secateur.engine.cli import main as command_line

from .output_schema import problems


@pytest.fixture(autouse=True)
def validated_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a command prints what the schema does not describe."""
    written: Callable[..., bytes] = command_line.to_json

    def checked(content: Any) -> bytes:
        text = written(content)
        assert not problems(text)
        return text

    monkeypatch.setattr(command_line, "to_json", checked)

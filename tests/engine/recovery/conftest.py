"""What tests of recoveries share."""

import pytest

from secateur.engine.recovery import checkpoint


@pytest.fixture
def saved_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are written after every step."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)

"""The window's own session, whose recoveries write their checkpoint so often that even a short one has some."""

from pathlib import Path

from secateur.engine.process.window_session import kept
from secateur.engine.recovery import checkpoint
from secateur.engine.session.session import Session

checkpoint.SECONDS = 0.3
checkpoint.SHARE = 0


def quick(folder: Path) -> Session:
    """See the module."""
    return kept(folder)

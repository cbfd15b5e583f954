"""The window's own session, whose recoveries write their checkpoint so often that even a short one has some."""

from pathlib import Path

from secateur.engine.process.window_session import WindowSession
from secateur.engine.recovery import checkpoint

checkpoint.SECONDS = 0.3
checkpoint.SHARE = 0


def quick(folder: Path) -> WindowSession:
    """See the module."""
    return WindowSession(folder)

"""The window's own session, whose recoveries write their checkpoint so often that even a short one has some."""

from pathlib import Path

from secateur.engine.recovery import resume
from secateur.engine.session.keeping import kept
from secateur.engine.session.session import Session

resume.SECONDS = 0.3
resume.SHARE = 0


def quick(folder: Path) -> Session:
    """See the module."""
    return kept(folder)

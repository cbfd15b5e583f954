"""The window's session: what it measures by content is kept for later sessions of this user too."""

from pathlib import Path

from .points import user_cache
from .session import Session


def kept(folder: Path) -> Session:
    """A session in a folder of its own, with the user's own cache."""
    return Session(folder, cache=user_cache(), exclusive=True)

"""The window's session: what it measures by content is kept for later sessions of this user too."""

import os
from pathlib import Path

from .locks import PROGRAM, Holder, this_process
from .points import user_cache
from .session import Session


def kept(folder: Path) -> Session:
    """A session in a folder of its own, with the user's own cache, in an engine process that a window has started."""
    window = Holder(this_process().host, os.getppid(), f"the window of {PROGRAM.capitalize()}")
    return Session(folder, cache=user_cache(), exclusive=True, holder=window)

"""The window's session: what it measures by content is kept for later sessions of this user too."""

import os
from pathlib import Path

from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..storage.folder_lock import PROGRAM, Holder, this_process


def kept(folder: Path) -> Session:
    """A session in a folder of its own, with the user's own cache, in an engine process that a window has started."""
    window = Holder(this_process().host, os.getppid(), f"the window of {PROGRAM.capitalize()}")
    return Session(folder, cache=user_cache(), exclusive=True, holder=window)

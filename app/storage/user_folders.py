"""Where the window keeps things: one folder per session in the user's data folder, the autosave."""

import time
import uuid
from pathlib import Path

from PySide6.QtCore import QStandardPaths


def data_folder() -> Path:
    """The application's data folder of this user."""
    return Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppLocalDataLocation))


def home() -> Path:
    """Where files are offered to be saved: the user's home folder, the working folder where there is none."""
    try:
        return Path.home()
    except RuntimeError:
        # A container may run as a user without an entry.
        return Path.cwd()


def sessions_folder() -> Path:
    """The folder of all sessions."""
    return data_folder() / "sessions"


def new_session_folder() -> Path:
    """A name for a new session's folder (the engine makes it)."""
    return sessions_folder() / f"{time.strftime('%Y-%m-%d %H.%M.%S')} {uuid.uuid4().hex[:6]}"

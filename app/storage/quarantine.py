"""Files that cannot be read are renamed, and a sentence tells the user: a start never fails."""

import shutil
import time
from collections import deque
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.storage.atomic_files import free

_sentences: deque[str] = deque(maxlen=20)


def add_notice(sentence: str) -> None:
    """Leave a sentence that the window shows as soon as it can; from any thread."""
    if sentence not in _sentences:
        _sentences.append(sentence)


def take_notices() -> list[str]:
    """The sentences that were left since this was asked last."""
    found = []
    while _sentences:
        found.append(_sentences.popleft())
    return found


def quarantine_file(path: Path, what: str, copy: bool = False) -> Path | None:
    """Rename a file that cannot be read and say so; its new place, None where it could not be renamed.

    Args:
        path: The file.
        what: What it holds, in the user's words, to begin a sentence with ("The settings").
        copy: Leave the file where it is, too: it is about to be replaced.
    """
    place = free(path.with_name(f"{path.stem} damaged {time.strftime('%Y-%m-%d %H.%M.%S')}{path.suffix}"))
    try:
        if copy:
            shutil.copyfile(path, place)
        else:
            path.rename(place)
    except OSError as error:
        words = QCoreApplication.translate(
            "Aside", "{what} in {path} could not be read, and the file could not be renamed: {reason}."
        )
        add_notice(words.format(what=what, path=path, reason=error.strerror or error))
        return None
    words = QCoreApplication.translate("Aside", "{what} could not be read. The damaged file is kept as {path}.")
    add_notice(words.format(what=what, path=place))
    return place

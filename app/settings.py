"""What the window remembers between starts: geometry, splitters, theme, what was opened."""

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QSettings

NAME = "secateur"
RECENT = 8


def settings() -> QSettings:
    """The settings file of this user."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, NAME, NAME)


def value(name: str, default: Any) -> Any:
    """What was stored by that name; the default where nothing was, or nothing of the default's type."""
    found = settings().value(name)
    if isinstance(default, bool | int | float) and isinstance(found, str):  # the file knows only texts
        try:
            found = json.loads(found)
        except ValueError:
            return default
    return found if type(found) is type(default) else default


def store(name: str, value: Any) -> None:
    """Keep a value."""
    settings().setValue(name, json.dumps(value) if isinstance(value, bool | int | float) else value)


def recent() -> list[tuple[str, str]]:
    """(title, source) of what was opened, newest first; files that are gone are left out."""
    try:
        stored = json.loads(str(settings().value("recent", "[]")))
        entries = [(str(title), str(source)) for title, source in stored]
    except (ValueError, TypeError):
        return []
    return [(title, source) for title, source in entries if _exists(source)]


def remember(title: str, source: str) -> None:
    """Put something at the head of what was opened."""
    entries = [(title, source)] + [e for e in recent() if e[1] != source]
    settings().setValue("recent", json.dumps(entries[:RECENT]))


def forget() -> None:
    """Forget what was opened."""
    store("recent", "[]")


def load(name: str) -> QByteArray:
    """A stored geometry, empty when there is none."""
    value = settings().value(name)
    return value if isinstance(value, QByteArray) else QByteArray()


def theme_choice() -> str:
    """The look that was chosen: system, light or dark."""
    chosen = str(settings().value("theme", "system"))
    return chosen if chosen in ("system", "light", "dark") else "system"


def _exists(source: str) -> bool:
    file = source.rpartition(":")[0] if ".py:" in source else source
    is_name = ":" in source and ".py:" not in source and not Path(source).exists()
    return is_name or Path(file).exists()

"""Keeps the list of what was opened, written beside the interface: a disk may take longer than the window can wait."""

from typing import Any

from secateur.engine.sources.protocol import ModelSpec

from . import settings
from .background import BackgroundTasks


class RecentFiles:
    """What was opened, for the next start."""

    def __init__(self, background: BackgroundTasks) -> None:
        """Write there, so that the newest is written last."""
        self._last: tuple[Any, ...] = ()
        self._background = background

    def remember(self, title: str, source: str, spec: ModelSpec | None = None, place: str = "") -> None:
        """Put something at the head, unless it stands there.

        Args:
            title: For a person.
            source: What it was opened by.
            spec: With which checkpoint and data.
            place: The machine of the engine that opened it, "" for this one.
        """
        if (title, source, spec, place) != self._last:
            self._last = title, source, spec, place
            self._background.run(lambda: _write(title, source, spec, place))


def _write(title: str, source: str, spec: ModelSpec | None, place: str) -> None:
    import msgspec  # not at the top: the window starts without it

    settings.remember(title, source, None if spec is None else msgspec.to_builtins(spec), place)


def spec_of(source: str, place: str = "") -> ModelSpec | None:
    """How something of a place's list was opened, with checkpoint and data; None where only its name is known.

    Consent to run what came with a file is not remembered: the file may be another one now.
    """
    import msgspec

    try:
        spec = msgspec.convert(settings.opened_with(source, place), ModelSpec)
    except msgspec.ValidationError:
        return None
    return spec.without_consent if spec.source == source else None

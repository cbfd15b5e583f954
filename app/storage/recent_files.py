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

    def remember(self, title: str, source: str, spec: ModelSpec | None = None) -> None:
        """Put something at the head, unless it stands there; `spec` says with which checkpoint and data."""
        if (title, source, spec) != self._last:
            self._last = title, source, spec
            self._background.run(lambda: _write(title, source, spec))


def _write(title: str, source: str, spec: ModelSpec | None) -> None:
    import msgspec  # not at the top: the window starts without it

    settings.remember(title, source, None if spec is None else msgspec.to_builtins(spec))


def spec_of(source: str) -> ModelSpec | None:
    """How something of the list was opened, with checkpoint and data; None where only its name is known.

    Consent to run what came with a file is not remembered: the file may be another one now.
    """
    import msgspec

    try:
        spec = msgspec.convert(settings.opened_with(source), ModelSpec)
    except msgspec.ValidationError:
        return None
    return spec.without_consent if spec.source == source else None

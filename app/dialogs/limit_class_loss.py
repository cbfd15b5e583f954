"""The goal's limits besides the metric: what no class may lose more than, and the highest calibration error."""

from dataclasses import replace
from typing import Any

from PySide6.QtWidgets import QLineEdit

from secateur.engine.errors import SecateurError
from secateur.engine.options import setting_of
from secateur.engine.planning.protocol import QualityLimits
from secateur.engine.text.notation import SHARE

from ..text.translate import engine_words
from .form import FormDialog
from .window_api import WindowApi

HINTS = {"class_loss": "2%", "calibration_error": "3%"}


class LimitClassLoss(FormDialog):
    """The dialog.

    Attributes:
        lines: By the name of the limit, a share; empty for no limit.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "A mean hides who pays for a cut. A result that misses one of these limits misses the goal, and "
            "Find the fastest keeps them. Leave a line empty for no limit."
        )
        super().__init__(window.as_widget(), self.tr("Limit class loss"), sentence, self.tr("Set goal"))
        self._document = window.document
        asked = self._document.goal.quality
        self.lines: dict[str, QLineEdit] = {}
        for name, example in HINTS.items():
            allowed, title = getattr(asked, name), engine_words(setting_of(QualityLimits, name).option.title)
            text = "" if allowed is None else SHARE.write(allowed)
            self.lines[name] = self.add_line(title, text, self.tr("none, or a share like {0}").format(example))
        self.check()

    def problem(self) -> str:
        """Which line is no share."""
        for name, line in self.lines.items():
            try:
                allowed = self._allowed(name)
            except (SecateurError, ValueError):
                allowed = -1.0
            if allowed is not None and not 0 <= allowed <= 1:
                words = self.tr("{0}: enter a share from 0% to 100%, like {1}.")
                return words.format(line.accessibleName(), HINTS[name])
        return ""

    def _allowed(self, name: str) -> float | None:
        text = self.lines[name].text().strip()
        return SHARE.read(text) if text else None

    def act(self) -> None:
        """Set the goal."""
        found: dict[str, Any] = {name: self._allowed(name) for name in self.lines}
        self._document.plan.set_goal(replace(self._document.goal, quality=QualityLimits(**found)))

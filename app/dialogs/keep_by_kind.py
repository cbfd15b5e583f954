"""The goal by kind: which share or number of the heads, neurons or layers stays, besides the cost that is limited."""

from dataclasses import replace

from PySide6.QtWidgets import QLineEdit

from secateur.engine.errors import SecateurError
from secateur.engine.planning.protocol import KindLimit, kind_limit_of
from secateur.engine.structures.analysis import Kind
from secateur.engine.text.notation import SHARE_OR_COUNT

from ..text.structures import cost_words, counted, many_of
from ..widgets.fields import DoubleSpinBox
from .form import FormDialog
from .window_api import WindowApi


class KeepByKind(FormDialog):
    """The dialog.

    Attributes:
        lines: By kind, the share or number to keep; empty for a kind that the cost decides.
        cost: Share of the cost to keep at most, in per cent.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        from secateur.engine.planning.kind_counts import count_of

        sentence = self.tr(
            "Enter a share or a number for the kinds to limit. The weakest of the whole model go. Kinds without an "
            "entry are removed only where the cost asks for it; blocks are whole layers."
        )
        super().__init__(window.as_widget(), self.tr("Keep by kind"), sentence, self.tr("Set goal"))
        document = self._document = window.document
        analysis, goal = document.analysis, document.goal
        # The command needs a model.
        assert analysis is not None
        nothing = analysis.empty()
        self._totals = {kind: number for kind in Kind if (number := count_of(analysis, nothing, kind))}
        asked = {limit.kind: SHARE_OR_COUNT.write(limit.count or limit.share) for limit in goal.kept}
        self.lines: dict[Kind, QLineEdit] = {}
        for kind, total in self._totals.items():
            title = many_of(kind)
            hint = self.tr("70% or a number, at most {0}").format(f"{total:,}")
            self.lines[kind] = self.add_line(f"{title[:1].upper()}{title[1:]}", asked.get(kind, ""), hint)
        title = self.tr("Keep at most, of the {0}").format(cost_words(goal.cost))
        self.cost = DoubleSpinBox(title, 1, 100, 0, self.tr(" %"))
        self.cost.setValue(100 * goal.keep if goal.kept else 100)
        self.cost.setToolTip(self.tr("100 % limits the kinds alone. Less is met with the kinds that have no entry."))
        self.add_row(title, self.cost)
        self.check()
        next(iter(self.lines.values()), self.cost).setFocus()

    def problem(self) -> str:
        """Which kind has no number, or too many."""
        for kind, line in self.lines.items():
            try:
                limit = self._limit(kind)
            except (SecateurError, ValueError):
                words = self.tr("{0}: enter a share like 70%, or a whole number of at least 1.")
                return words.format(line.accessibleName())
            if limit is not None and limit.count > self._totals[kind]:
                return self.tr("The model has only {0}.").format(counted(kind, self._totals[kind]))
        return ""

    def _limit(self, kind: Kind) -> KindLimit | None:
        text = self.lines[kind].text().strip()
        return kind_limit_of((kind, SHARE_OR_COUNT.read(text))) if text else None

    def act(self) -> None:
        """Set the goal."""
        kept = tuple(limit for kind in self.lines if (limit := self._limit(kind)) is not None)
        self._document.plan.set_goal(replace(self._document.goal, keep=self.cost.value() / 100, kept=kept, shape=()))

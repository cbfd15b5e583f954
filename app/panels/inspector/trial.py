"""The section *Try it* of the inspector: what the metric loses without the selection, before anything is cut."""

from PySide6.QtCore import QCoreApplication, Slot
from PySide6.QtWidgets import QWidget

from secateur.engine.inspection.changes import Changes, summary

from ...document.changes_query import TRIAL, TrialQuery
from ...document.document import Aspect
from ...jobs.workbench import Workbench
from ...text.translate import counted, sentence
from ...widgets.buttons import button
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ..panel_layout import column_of
from ..panel_parts import name_button, show_text

OF_TRIALS = frozenset(
    {Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SELECTION, Aspect.MARKS, Aspect.JOBS, Aspect.CHANGES}
)


def say(text: str) -> str:
    """In the language of the window."""
    return QCoreApplication.translate("trial", text)


class TrialSection(QWidget):
    """What the selection is worth, measured.

    Attributes:
        figure: By how much the metric changes.
        words: What else came of the trial, and how far it is.
        act: Tries it; cancels that while it runs.
        details: Shows which classes and samples change.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show trials of the document's selection."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.figure, self.words = label(role="number", wrap=True), label(role="caption", wrap=True)
        self.act, self.details = button(self.tr("Try without it")), button(self.tr("Show what changes"))
        buttons = FlowLayout(gap=8)
        for each in (self.act, self.details):
            buttons.addWidget(each)
        self._title = label("", "heading")
        column_of(self._title, self.figure, self.words, buttons, on=self, margins=(0, 4, 0, 4), gap=6)
        self.act.clicked.connect(self._take_step)
        self.details.clicked.connect(self._show_details)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known of the selection."""
        document, structures = self.document, self.document.to_try
        self.setVisible(bool(len(structures)) and document.task is not None and not document.absent)
        if self.isHidden():
            return
        query, alone = TrialQuery.of(document.contents.present, structures), len(structures) == 1
        job, found = document.job_about(query), document.contents.changes.trials.get(query)
        figure, words = ("", "") if found is None else trial_words(found.changes)
        said = [words] if words else []
        show_text(self.figure, figure)
        if job is not None:
            more = self.tr("All other samples follow: {0}") if found is not None else "{0}"
            said.append(self.tr("Waiting for its turn.") if job.place else more.format(job.text or job.title))
        elif found is None:
            words = self.tr("Score is an estimate. Measure what the model loses without it; nothing is cut.")
            if not alone:
                words = self.tr("Score is an estimate. Measure what the model loses without them; nothing is cut.")
            said.append(words)
        elif not found.whole:
            said.append(self.tr("This is a part of the split."))
        show_text(self.words, "\n".join(said))
        # It is done: what is left is to look at the samples.
        self.act.setVisible(job is not None or found is None or not found.whole)
        selected = document.selection.several or document.selection.structure >= 0
        self._title.setText(self.tr("What it is worth") if alone else self.tr("What they are worth"))
        one, many = self.tr("Try without it"), self.tr("Try without these {count}")
        many = many if selected else self.tr("Try without the {count} marked")
        name_button(self.act, self.tr("Cancel") if job is not None else counted(len(structures), one, many))
        self.details.setVisible(found is not None)

    @Slot()
    def _take_step(self) -> None:
        query = TrialQuery.of(self.document.contents.present, self.document.to_try)
        if (job := self.document.job_about(query)) is not None:
            return self.workbench.runner.request_cancel(job.id)
        return self.workbench.changes.try_without()

    @Slot()
    def _show_details(self) -> None:
        """In the panel that shows what changes between states, of which the trial is then one."""
        document = self.document
        known, query = document.contents.changes, TrialQuery.of(document.contents.present, document.to_try)
        if (found := known.trials.get(query)) is not None:
            # What is selected was perhaps not tried last.
            known.take_trial(found)
            document.choose_changes(query.state, TRIAL, found.changes.split)
            document.requested.emit(lambda window: window.show_panel("changes"))


def trial_words(changes: Changes) -> tuple[str, str]:
    """By how much the metric changes; then of how many samples, whether chance may be why, which classes pay."""
    whole, *others = summary(changes)
    metric, given = changes.metrics[1], {"split": changes.split.value, "count": f"{changes.count:,}"}
    figure = str(whole.arguments["change"])
    lines = [say("{metric}, {count} samples of the {split} split.").format(metric=metric.name, **given)]
    if (test := changes.mcnemar) is not None:
        words = say("{lost} that were right are wrong, {gained} the other way round.")
        lines.append(words.format(lost=f"{test.lost:,}", gained=f"{test.gained:,}"))
    if not (changes.difference.is_loss or changes.difference.is_gain):
        lines.append(say("Chance alone may make such a difference."))
    lines += [sentence(one) for one in others if one.code == "changes.worse"]
    return say("{0} points").format(figure) if metric.percent else figure, " ".join(lines)

"""Mark by a rule: layers by name and kind, structures by score, number or share; what it would do is said at once."""

from dataclasses import replace

import numpy as np
from PySide6.QtCore import Slot

from secateur.engine.errors import PlanError
from secateur.engine.planning import selection_rules
from secateur.engine.planning.selection_rules import KEEPS, SCORED, SelectionRule, StructureChoice
from secateur.engine.structures.analysis import Kind, Mask
from secateur.engine.structures.costs import costs

from ..text.format import change, scaled
from ..text.structures import many_of
from ..text.translate import counted, sentence
from ..widgets.fields import ComboBox
from ..widgets.labels import label
from .form import FormDialog
from .settings_fields import is_valid, numbers
from .window_api import WindowApi

MARK, UNMARK, LOCK, UNLOCK = "mark", "unmark", "lock", "unlock"


class MarkDialog(FormDialog):
    """The dialog.

    Attributes:
        names: Which layers.
        kind: Which kind of structures.
        which: Which of them.
        value: A share, a score, numbers: what `which` needs.
        then: What to do with them.
        effect: What it would do, in words.
    """

    def __init__(
        self, window: WindowApi, which: StructureChoice = StructureChoice.LOWEST_EACH, then: str = MARK, names: str = ""
    ) -> None:
        """Ask in a window, beginning with a rule."""
        sentence = self.tr("Choose layers, a kind and a rule. Nothing changes until you press the button.")
        super().__init__(window.as_widget(), self.tr("Mark by rule"), sentence, self.tr("Mark"))
        self._document = window.document
        # The commands that open this need a model.
        assert window.document.analysis is not None
        self._analysis = window.document.analysis
        self._found: tuple[Mask, Mask] | None = None
        self.names = self.add_line(self.tr("Layers"), names, self.tr("all, or layer3.*.conv1, or /conv[12]$/"))
        self.kind = ComboBox(self.tr("Kind"))
        self.kind.addItem(self.tr("all kinds except whole blocks"), None)
        for kind in dict.fromkeys(one.kind for one in self._analysis.sets):
            self.kind.addItem(many_of(kind), str(kind))
        self.add_row(self.kind.accessibleName(), self.kind)
        self.which = ComboBox(self.tr("Rule"))
        for one, words in (
            (StructureChoice.LOWEST_EACH, self.tr("the lowest scores, % of each layer")),
            (StructureChoice.LOWEST_ALL, self.tr("the lowest scores, % of all layers together")),
            (StructureChoice.BELOW, self.tr("scores below")),
            (StructureChoice.BETWEEN, self.tr("scores from, to")),
            (StructureChoice.NUMBERS, self.tr("by index")),
            (StructureChoice.ALL, self.tr("all of them")),
            (StructureChoice.KEEP_SHARE, self.tr("all but the best; keep % of each layer")),
            (StructureChoice.KEEP_COUNT, self.tr("all but the best; keep a number of each layer")),
        ):
            self.which.addItem(words, str(one))
        self.which.setCurrentIndex(self.which.findData(str(which)))
        self.add_row(self.which.accessibleName(), self.which)
        self.value = self.add_line("", self._first_value(which), "")
        self._value_title = self.form.labelForField(self.value)
        self.then = ComboBox(self.tr("Action"))
        for action, words in (
            (MARK, self.tr("mark for removal")),
            (UNMARK, self.tr("unmark")),
            (LOCK, self.tr("lock")),
            (UNLOCK, self.tr("unlock")),
        ):
            self.then.addItem(words, action)
        self.then.setCurrentIndex(self.then.findData(then))
        self.add_row(self.then.accessibleName(), self.then)
        self.effect = label("", "strong", wrap=True)
        self.form.addRow(self.effect)
        self.which.activated.connect(self._begin_rule)
        for box in (self.kind, self.then):
            box.activated.connect(self.check)
        self._name_fields()
        self.check()
        self.names.setFocus()

    def rule(self) -> SelectionRule:
        """What the fields say; raises ValueError where they say nothing that can be."""
        kind, which = self.kind.currentData(), StructureChoice(self.which.currentData())
        rule = SelectionRule(self.names.text(), None if kind is None else Kind(kind), which)
        selection_rules.matcher(rule.names)
        text = self.value.text().replace("%", " ")
        if which is StructureChoice.ALL:
            return rule
        if which is StructureChoice.NUMBERS:
            return replace(rule, numbers=selection_rules.ranges(text))
        count = 2 if which is StructureChoice.BETWEEN else 1
        given = numbers(text, count)
        if len(given) != count or any(one < 0 for one in given):
            raise ValueError(text)
        if which in (StructureChoice.LOWEST_EACH, StructureChoice.LOWEST_ALL, StructureChoice.KEEP_SHARE):
            if given[0] > 100:
                raise ValueError(text)
            return replace(rule, low=given[0] / 100)
        if which is StructureChoice.KEEP_COUNT and (given[0] < 1 or given[0] != int(given[0])):
            raise ValueError(text)
        return replace(rule, low=given[0], high=given[-1])

    @Slot()
    def _begin_rule(self) -> None:
        """Offer another value: another rule needs one."""
        self.value.setText(self._first_value(StructureChoice(self.which.currentData())))
        self._name_fields()
        self.check()

    def _first_value(self, which: StructureChoice) -> str:
        """A value to begin with."""
        scores = self._document.scores
        known = np.zeros(0) if scores is None else scores[np.isfinite(scores)]
        low, high = np.percentile(known, [20, 40]) if len(known) else (0.1, 0.2)
        return {
            StructureChoice.BELOW: f"{low:.3g}",
            StructureChoice.BETWEEN: f"{low:.3g}, {high:.3g}",
            StructureChoice.NUMBERS: "0-7",
            StructureChoice.LOWEST_EACH: "20",
            StructureChoice.LOWEST_ALL: "20",
            StructureChoice.KEEP_SHARE: "50",
            StructureChoice.KEEP_COUNT: "16",
        }.get(which, "")

    def _name_fields(self) -> None:
        which = StructureChoice(self.which.currentData())
        titles = {
            StructureChoice.BELOW: self.tr("Score"),
            StructureChoice.BETWEEN: self.tr("Scores"),
            StructureChoice.NUMBERS: self.tr("Indices"),
            StructureChoice.KEEP_COUNT: self.tr("Keep"),
            StructureChoice.KEEP_SHARE: self.tr("Keep, %"),
        }
        title = titles.get(which, self.tr("Share, %"))
        self._value_title.setText(title)  # type: ignore[union-attr]
        self.value.setAccessibleName(title)
        self.form.setRowVisible(self.value, which is not StructureChoice.ALL)
        self.form.setRowVisible(self.then, which not in KEEPS)

    def check(self) -> None:
        """Word the button, and say what is wrong; else what it would do."""
        which = StructureChoice(self.which.currentData())
        words = {UNMARK: self.tr("Unmark"), LOCK: self.tr("Lock"), UNLOCK: self.tr("Unlock")}
        text = self.tr("Keep") if which in KEEPS else words.get(str(self.then.currentData()), self.tr("Mark"))
        self.accept_button.setText(text)
        self.accept_button.setAccessibleName(text)
        # A preview walks all structures: `problem` makes it once for each key that is pressed.
        self._found = None
        super().check()
        self.effect.setText(self._effect())

    def problem(self) -> str:  # noqa: PLR0911 - a sentence for each problem
        """What is wrong with the fields, or with what they mean."""
        if not is_valid(selection_rules.matcher, self.names.text()):
            return self.tr("The regular expression between the slashes is invalid. Correct it.")
        which = StructureChoice(self.which.currentData())
        if not is_valid(lambda _text: self.rule(), ""):
            return {
                StructureChoice.NUMBERS: self.tr("Enter numbers and ranges separated by commas: 0-7, 12."),
                StructureChoice.BETWEEN: self.tr("Enter two scores: from, to."),
                StructureChoice.BELOW: self.tr("Enter a score."),
                StructureChoice.KEEP_COUNT: self.tr("Enter a whole number of 1 or more."),
            }.get(which, self.tr("Enter a share from 0 to 100 %."))
        rule = self.rule()
        if which in SCORED and self._document.scores is None:
            return self.tr("Scores are not ready yet. Wait for them, or choose another rule.")
        if not selection_rules.sets_of(self._analysis, rule):
            if along := selection_rules.along_with(self._analysis, rule):
                words = self.tr("These layers are coupled to {0}. Enter those layers instead.")
                return words.format(", ".join(along[:3]))
            return self.tr("No layer with that name has structures of that kind.")
        try:
            after, touched = self._preview(rule)
        except PlanError as error:
            return sentence(error.message)
        if not touched.any():
            return self.tr("No structure matches. Change the layers, the kind or the rule.")
        self._found = after, touched
        return ""

    def _preview(self, rule: SelectionRule) -> tuple[Mask, Mask]:
        """([S] marks, or locks; [S] what it touches)."""
        document = self._document
        action, scores = self.action(rule), document.scores
        if action == MARK:
            return selection_rules.marked_by(self._analysis, scores, document.contents.masks, rule)
        touched = selection_rules.meant_structures(self._analysis, scores, document.removed, rule)
        if action == UNMARK:
            touched &= ~document.locked
            return document.marked & ~touched, touched
        return document.marked, touched

    def action(self, rule: SelectionRule) -> str:
        """What is done: to keep some is to mark the others."""
        return MARK if rule.which in KEEPS else str(self.then.currentData())

    def _effect(self) -> str:
        """What the rule would do, in words; "" where something is wrong."""
        if self._found is None:
            return ""
        document, (after, touched) = self._document, self._found
        layers = len(np.unique(self._analysis.set_numbers()[touched]))
        meant = counted(int(touched.sum()), self.tr("{count} structure"), self.tr("{count} structures"))
        where = counted(layers, self.tr("{count} layer"), self.tr("{count} layers"))
        words = self.tr("{0} in {1}.").format(meant, where)
        fresh, unmarked = int((after & ~document.marked).sum()), int((document.marked & ~after).sum())
        if fresh or unmarked:
            plan, whole = costs(self._analysis, document.removed | after), document.original_costs
            assert whole is not None
            less = change(whole.macs, plan.macs) or self.tr("all")
            words += self.tr(" {0} newly marked, {1} unmarked. The plan keeps {2} MACs ({3}).").format(
                f"{fresh:,}", f"{unmarked:,}", scaled(plan.macs), less
            )
        return words

    def act(self) -> None:
        """Lock, or mark under the words that the undo history shows."""
        rule, document = self.rule(), self._document
        after, touched = self._preview(rule)
        action = self.action(rule)
        if action in (LOCK, UNLOCK):
            return document.plan.lock(touched, action == LOCK)
        where = rule.names.strip() or self.tr("all layers")
        if rule.which is StructureChoice.KEEP_SHARE:
            words = self.tr("keep {0} % of {1}").format(f"{100 * rule.low:g}", where)
        elif rule.which is StructureChoice.KEEP_COUNT:
            words = self.tr("keep {0} of {1}").format(int(rule.low), where)
        else:
            verb = self.tr("mark {0} in {1}") if action == MARK else self.tr("unmark {0} in {1}")
            meant = counted(int(touched.sum()), self.tr("{count} structure"), self.tr("{count} structures"))
            words = verb.format(meant, where)
        document.plan.take_marks(words, after, touched)


def ask(
    window: WindowApi, which: StructureChoice = StructureChoice.LOWEST_EACH, then: str = MARK, here: bool = False
) -> None:
    """Open the dialog over a window; `here` begins with the selected layer."""
    chosen = window.document.selection
    MarkDialog(window, which, then, chosen.module if here and chosen.set_number >= 0 else "").open()

"""Jobs that do a recipe again: open its model, hold it against the model that is open, apply it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from secateur.engine.session.states import OpenedModel

from ..document.job_state import ConsentRequest
from ..text.translate import sentence
from .job_runner import DocumentJobs, JobRunner
from .model_jobs import ModelJobs
from .state_jobs import StateJobs

if TYPE_CHECKING:
    from secateur.engine.recipes.compatibility import Fit, Mode
    from secateur.engine.recipes.steps import Replay


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A recipe that is to be done again.

    Attributes:
        recipe: Path of its file, of a project or of a bundle.
        weights: A new checkpoint, "" for the recorded one.
        source: Another model, "" for the recorded one.
        trust_pickle: Consent to run the checkpoint's pickle.
        trust_code: Consent to run the Python files that it names.
        download: Consent to fetch weights from the network.
    """

    recipe: str
    weights: str = ""
    source: str = ""
    trust_pickle: bool = False
    trust_code: bool = False
    download: bool = False


class RecipeJobs(DocumentJobs):
    """Starts the jobs for a document.

    Signals:
        fitted: (path of the recipe, `Fit`): it was held against the open model; the user says what to do with it.
    """

    fitted = Signal(str, object)

    def __init__(self, runner: JobRunner, model: ModelJobs, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(runner)
        self._model, self._states = model, states

    def open(self, asked: ReplayRequest) -> None:
        """Open the model of a recipe, with other weights perhaps, then hold the recipe against it."""
        file = asked.weights or asked.source or asked.recipe
        self._runner.consent = ConsentRequest(file, lambda consent: self.open(replace(asked, **{consent: True})))

        def opened(model: OpenedModel) -> None:
            assert model.spec is not None
            self._model.show(model, model.spec)
            self.hold(asked.recipe)

        self._runner.run(
            self.tr("Open the recipe's model"),
            opened,
            "open_recipe",
            asked.recipe,
            asked.weights,
            asked.source,
            asked.trust_pickle,
            asked.trust_code,
            asked.download,
            changes=True,
        )

    def hold(self, recipe: str) -> None:
        """Hold a recipe against the model that is open; `fitted` follows."""

        def emit_fit(fit: "Fit") -> None:
            self.fitted.emit(recipe, fit)

        self._runner.run(self.tr("Compare the recipe with the model"), emit_fit, "fit", recipe)

    def apply(self, recipe: str, mode: "Mode", trust_code: bool = False) -> None:
        """Do a recipe's steps again on the original of the open model; the user may have allowed its code just now."""
        self._runner.consent = ConsentRequest(recipe, lambda _: self.apply(recipe, mode, trust_code=True))
        begun = self._runner.run(
            self.tr("Apply the recipe"),
            self._finish,
            "apply_recipe",
            recipe,
            mode,
            trust_code,
            changes=True,
            arrived=self._document.take_trained,
        )
        if begun:
            self._document.begin_curve()

    def _finish(self, done: "Replay") -> None:
        document = self._document
        document.take_arrivals(done.states)
        missing = [self.tr("Not in this model: {name}").format(name=name) for name in done.missing]
        for note in (*map(sentence, done.notes), *missing):
            document.note(note)
        made = [state for state in done.states if state.parent]
        if made:
            document.plan.enter(made[-1].id, self.tr("apply the recipe"))
        whole, part = self.tr("Recipe applied."), self.tr("Only part of the recipe could be applied.")
        words = whole if done.complete else part
        document.say(f"{words} {self.tr('The log lists the differences.') if done.notes else ''}".rstrip())
        self._states.measure_missing()

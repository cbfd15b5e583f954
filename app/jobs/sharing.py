"""Handing on, and taking in: files of the current state for others, and recipes that are done again on a checkpoint."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, Signal

from secateur.engine.session.states import OpenedModel

from ..document.consent_request import Refusable
from ..text.translate import sentence

if TYPE_CHECKING:
    from secateur.engine.recipes.compatibility import Fit, Mode
    from secateur.engine.recipes.replay import Replay

    from ..document.document import Document

CONTEXT = "Handing"


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


@dataclass(frozen=True, slots=True)
class Asked:
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


class Handing(QObject):
    """Starts the jobs for a document.

    Attributes:
        trusted: Recipes whose code the user allowed to run.

    Signals:
        fitted: (path of the recipe, `Fit`): it was held against the open model; the user says what to do with it.
    """

    fitted = Signal(str, object)

    def __init__(self, document: "Document") -> None:
        """Work for a document."""
        super().__init__(document)
        self._document = document
        self.trusted: set[str] = set()

    # Files.

    def write(self, kind: str, path: str, weights: bool = False) -> None:
        """Write recipe, script, report or bundle of the current state."""
        document = self._document
        titles = {
            "recipe": say("Export the recipe"),
            "script": say("Export the script"),
            "report": say("Export the report"),
            "bundle": say("Write the bundle"),
        }

        def written(files: tuple[str, ...]) -> None:
            document.work.say(say("Written: {files}").format(files=", ".join(files)))

        more = (weights,) if kind == "bundle" else ()
        document.work.run(titles[kind], written, f"write_{kind}", document.contents.present, path, *more)

    # Recipes.

    def open(self, asked: Asked) -> None:
        """Open the model of a recipe, with other weights perhaps, then hold the recipe against it."""
        work, file = self._document.work, asked.weights or asked.source or asked.recipe
        work.refusable = Refusable(file, lambda consent: self.open(replace(asked, **{consent: True})))
        if asked.trust_code:
            self.trusted.add(asked.recipe)

        def opened(model: OpenedModel) -> None:
            self._document.work.show(model)
            self.hold(asked.recipe)

        self._document.work.run(
            say("Open the recipe's model"),
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

        def held(fit: "Fit") -> None:
            self.fitted.emit(recipe, fit)

        self._document.work.run(say("Compare the recipe with the model"), held, "fit", recipe)

    def apply(self, recipe: str, mode: "Mode") -> None:
        """Do a recipe's steps again on the original of the open model."""
        document = self._document
        title = say("Apply the recipe")
        arrived = document.take_arrivals
        trusted = recipe in self.trusted

        def again(_: str) -> None:
            self.trusted.add(recipe)
            self.apply(recipe, mode)

        document.work.refusable = Refusable(recipe, again)
        if document.work.run(
            title, self._applied, "apply_recipe", recipe, mode, trusted, changes=True, arrived=arrived
        ):
            document.work.begin_curve()

    def _applied(self, done: "Replay") -> None:
        document = self._document
        document.take_arrivals(done.states)
        missing = [say("Not in this model: {name}").format(name=name) for name in done.missing]
        for note in (*map(sentence, done.notes), *missing):
            document.note(note)
        made = [state for state in done.states if state.parent]
        if made:
            document.enter(made[-1].id, say("apply the recipe"))
        words = say("Recipe applied.") if done.complete else say("Only part of the recipe could be applied.")
        document.work.say(f"{words} {say('The log lists the differences.') if done.notes else ''}".rstrip())
        document.work.look()

"""What a person starts and leaves alone: sensitivity, sweeps over budgets, measurements on other machines.

None of these changes the current state or the plan, so both can be worked on meanwhile; what they find is shown as it
comes.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.devices import CPU
from secateur.engine.latency.savings import Saving
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.sensitivity.protocol import SHARES, Sensitivity
from secateur.engine.session.states import State
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.workflows.prune import PruneSettings
from secateur.engine.workflows.sweep import BUDGETS, Sweep

from ..document.aspects import Aspect
from ..document.sensitivity_curves import Curves
from ..text.titles import state_called
from ..text.translate import counted, sentence

if TYPE_CHECKING:
    from ..document.document import Document

CONTEXT = "Studies"


def there(spec: TargetSpec) -> TargetSpec:
    """What is measured on another machine: ONNX files; precision, threads, batch and sizes as here."""
    return replace(spec, runtime="onnxruntime", machine="", device=CPU)


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sensitivity analysis will cost.

    Attributes:
        trials: How many cuts are tried.
        samples: On how many samples each is evaluated, 0 unknown.
        seconds: About how long all of it takes, NaN unknown.
    """

    trials: int
    samples: int
    seconds: float


class Studies:
    """Starts them for a document, and hands it what they find."""

    def __init__(self, document: "Document") -> None:
        """Work for a document."""
        self._document = document
        self._trials: tuple[object, object, int] = (None, None, 0)

    # Sensitivity.

    def estimate(self) -> Estimate:
        """What measuring the sensitivity of the current state would cost, before it is started."""
        document, task = self._document, self._document.task
        if document.analysis is None or task is None:
            return Estimate(0, 0, float("nan"))
        count = self._count(document.analysis, document.removed)
        samples = task.sizes.get("val", 0)
        share = document.state.macs / max(document.original.macs, 1) if document.state and document.original else 1.0
        seconds = count * document.work.pace.judging("val", share)
        return Estimate(count, samples, seconds if seconds else float("nan"))

    def _count(self, analysis: Analysis, removed: Mask) -> int:
        """How many cuts there are to try; counted once for a state."""
        from secateur.engine.sensitivity.trials import removals, sets_of, trials

        if self._trials[0] is not analysis or self._trials[1] is not removed:
            numbers = sets_of(analysis, removed, Goal(()))
            count = len(trials(removals(analysis, removed, numbers, SHARES), numbers))
            self._trials = (analysis, removed, count)
        return self._trials[2]

    def sensitivity(self) -> None:
        """Measure how the current state's metric falls as each set loses a share; goes on where a run stopped."""
        document = self._document
        key = document.contents.present, document.rating
        found = Curves(self.estimate().trials)

        def arrived(trials: tuple[Any, ...]) -> None:
            found.take(trials)
            document.contents.curves[key] = found
            document.announce(Aspect.SENSITIVITY)

        def finished(result: Sensitivity) -> None:
            found.finish(result)
            document.contents.curves[key] = found
            for note in result.notes:
                document.note(sentence(note))
            document.announce(Aspect.SENSITIVITY)

        about = ("sensitivity", *key)
        called = state_called(document, document.contents.present)
        title = say("Measure the sensitivity of {state}").format(state=called)
        arguments = (document.contents.present, document.criterion, SHARES, None, document.choices)
        document.work.run(title, finished, "sensitivity", *arguments, about=about, arrived=arrived)

    # Sweeps.

    def sweep(
        self,
        shares: tuple[float, ...] = BUDGETS,
        cost: Cost = Cost.MACS,
        recovery: RecoverySettings | None = None,
    ) -> None:
        """Prune the current state to several budgets, one after the other; what was made before is not made again."""
        document, contents, course = self._document, self._document.contents, self.course(cost, recovery)
        title = counted(len(shares), say("Sweep over {count} budget"), say("Sweep over {count} budgets"))
        arguments = (contents.present, course, shares, document.scores)
        document.work.run(title, self._swept, "sweep", *arguments, arrived=document.take_arrivals)

    def course(self, cost: Cost, recovery: RecoverySettings | None) -> PruneSettings:
        """What a sweep does for each of its budgets."""
        document, contents = self._document, self._document.contents
        locked, by_hand = contents.decided()
        goal, choices = replace(contents.wanted, limits=(Limit(cost, 1.0),)), document.choices
        return PruneSettings(goal, document.criterion, recovery, locked=locked, marked=by_hand, choices=choices)

    def _swept(self, done: Sweep) -> None:
        document = self._document
        document.take_arrivals(done.states)
        missed = [point for point in done.points if point.note is not None]
        for point in missed:
            document.note(f"{point.share:.0%}: {sentence(point.note or '')}")
        words = say("The sweep met {done} of {all} budgets. Click a point of the trade-off to go to its state.")
        document.work.say(words.format(done=len(done.points) - len(missed), all=len(done.points)))
        document.work.measure_if_cheap(tuple(state.id for state in done.states))  # the curve against latency, too

    # Time.

    def savings(self) -> None:
        """Read what removal saves in the current state, where a table of the target is there and that is not known."""
        document, contents, target = self._document, self._document.contents, self._document.target
        key = contents.present, target
        if contents.table is None or key in contents.savings:
            return

        def found(result: tuple[Saving, ...]) -> None:
            contents.savings[key] = {one.key: one for one in result}
            document.announce(Aspect.TARGET)

        title = say("Read the latency savings of {state}").format(state=state_called(document, key[0]))
        document.work.run(title, found, "savings", *key)

    # Other machines.

    def write_bench(self, folder: str) -> None:
        """Write what another machine needs to measure the original and the current state."""
        document = self._document
        if document.original is None or document.state is None:
            return
        states = tuple(dict.fromkeys((document.original.id, document.state.id)))

        def written(result: tuple[str, str]) -> None:
            words = say(
                "Written to {folder}. Copy it to the other machine, run {command} there, then read its results.json "
                "here."
            )
            document.work.say(words.format(folder=result[0], command=result[1]))

        document.work.run(
            say("Write a benchmark folder"), written, "write_bench", states, folder, there(document.target)
        )

    def take_bench(self, path: str) -> None:
        """Read what another machine measured; it becomes the target, so that its latencies are shown."""
        document = self._document

        def taken(states: tuple[State, ...]) -> None:
            document.take_metrics(states)
            target = states[0].timings[-1].target
            document.set_target(replace(target, multiple=document.target.multiple))
            count = counted(len(states), say("{count} state"), say("{count} states"))
            words = say("Latencies of {states}, measured on {machine}.")
            document.work.say(words.format(states=count, machine=target.machine))

        document.work.run(say("Read benchmark results"), taken, "take_bench", path)

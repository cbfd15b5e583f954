"""The job that makes baselines of the current state, what they would cost, and what follows from them."""

from collections.abc import Sequence
from typing import Any

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.errors import SecateurError
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split

from ..document.baseline_queries import pruned_state
from ..text.baselines import title_of
from ..text.metrics import path_to
from ..text.translate import counted, sentence, sentences
from .cost_estimator import UNKNOWN, Estimate
from .job_runner import DocumentJobs, JobRunner


class BaselineJobs(DocumentJobs):
    """Makes baselines; which there are, the document knows (`document/baseline_queries.py`)."""

    def __init__(self, runner: JobRunner) -> None:
        """Work for a document."""
        super().__init__(runner)
        runner.estimator.take("compare", self._estimate)

    # What they cost.

    def epochs(self) -> int:
        """Epochs that a baseline is trained for by default: all on the way to the current state."""
        return self.trained_epochs() or RecoverySettings().epochs

    def seconds(self, kind: BaselineKind, epochs: int | None = None) -> float:
        """About how long a baseline of the current state takes; 0 where that cannot be known."""
        state, original = pruned_state(self._document), self._document.original
        if state is None or original is None:
            return 0.0
        share, whole = state.macs / max(original.macs, 1), max(original.macs, 1)
        if kind is BaselineKind.RANDOM:
            rounds = [(one.macs / whole, s.epochs if epochs is None else epochs) for one, s in self._recoveries()]
        else:
            whole_size = kind in (BaselineKind.MAGNITUDE, BaselineKind.UNCUT)
            share = 1.0 if whole_size else share
            untrained = whole_size and not self.trained_epochs() and epochs is None
            rounds = [(share, 0 if untrained else self.epochs() if epochs is None else epochs)]
        training = sum(self._runner.estimator.training_seconds(each, part) for part, each in rounds)
        return training + self._runner.estimator.evaluation_seconds(Split.TEST, share)

    def _estimate(self, _state: str, asked: Sequence[BaselineSpec], *_rest: Any) -> Estimate:
        """Of making several; their work is not said, because those that are there are not made again."""
        return Estimate(seconds=sum(self.seconds(one.kind, one.epochs) for one in asked) or UNKNOWN)

    def trained_epochs(self) -> int:
        """Epochs on the way to the current state, 0 where it was cut and at most repaired."""
        return sum(settings.epochs for _, settings in self._recoveries())

    def _recoveries(self) -> list[tuple[State, RecoverySettings]]:
        """The recoveries on the way to the current state, each with what it made."""
        state = pruned_state(self._document)
        if state is None:
            return []
        return [(one, one.recovery) for one in path_to(self._document.states, state) if one.recovery is not None]

    # Making them.

    def start(self, asked: Sequence[BaselineSpec], timed: bool = True) -> None:
        """Make baselines of the current state, one after the other; those that are there are not made again.

        Args:
            asked: Which.
            timed: Time them on the target, in turns with the original and the state.
        """
        document, state = self._document, pruned_state(self._document)
        if state is None or not asked:
            return
        target = document.target if timed and document.target.is_reachable else None
        title = counted(len(asked), self.tr("Make {count} baseline"), self.tr("Make {count} baselines"))
        self._runner.run(title, self._show_result, "compare", state.id, tuple(asked), target, arrived=self._take_made)

    def _show_result(self, result: Any) -> None:
        """Say what follows from those that were made, and why another one was not."""
        document = self._document
        document.add_baselines(result.baselines)
        document.take_metrics((result.state,))
        for one in result.missed[1:]:
            words = self.tr("Baseline not made ({kind}): {reason}")
            document.note(words.format(kind=title_of(one.asked.kind), reason=sentence(one.reason)))
        if result.baselines:
            document.say(sentences((*result.verdict.sentences, *result.classes)))
        if result.missed:
            document.fail(SecateurError.saying(result.missed[0].reason))

    def _take_made(self, made: tuple[Any, ...]) -> None:
        self._document.add_baselines(tuple(one for one in made if isinstance(one, Baseline)))
        self._document.take_metrics(tuple(one for one in made if isinstance(one, State)))

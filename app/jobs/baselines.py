"""What stands beside the current state: its baselines, what they would cost, and whether it was worth pruning."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.baselines.protocol import LIBRARIES, Baseline, BaselineKind, BaselineSpec
from secateur.engine.baselines.verdict import PrunedResult, Verdict, verdict
from secateur.engine.errors import SecateurError
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split

from ..document.aspects import Aspect
from ..text.baselines import title_of
from ..text.metrics import metric_of, path_to
from ..text.translate import counted, sentence, sentences

if TYPE_CHECKING:
    from ..document.document import Document

CONTEXT = "Beside"


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


class Beside:
    """Starts baselines for a document, and says what follows from them."""

    def __init__(self, document: "Document") -> None:
        """Work for a document."""
        self._document = document

    @property
    def state(self) -> State | None:
        """The state that new baselines stand beside: the present one, None where that was not cut."""
        state = self._document.state
        return state if state is not None and state.parent else None

    def of(self, state: State | None) -> tuple[Baseline, ...]:
        """The baselines of a state, in order of making."""
        if state is None:
            return ()
        return tuple(one for one in self._document.contents.baselines.values() if one.against == state.id)

    def shown(self) -> tuple[Baseline, ...]:
        """Those of the current state, and where it has none, all."""
        return self.of(self.state) or tuple(self._document.contents.baselines.values())

    def verdict(self) -> Verdict | None:
        """What the current state's baselines say of it, None where there are none."""
        state, made = self.state, self.of(self.state)
        metric = metric_of(state, Split.TEST)
        if state is None or not made or metric is None:
            return None
        return verdict(PrunedResult(metric, state.macs, state.timings), made)

    def missing(self) -> tuple[BaselineKind, ...]:
        """Kinds that the current state has none of."""
        made = {one.asked.kind for one in self.of(self.state)}
        return tuple(kind for kind in BaselineKind if kind not in made)

    @property
    def family_known(self) -> bool:
        """Whether a smaller model of the family may be found by itself; a project does not say here what it is of."""
        spec = self._document.contents.spec
        return spec is None or spec.source.startswith(LIBRARIES) or Path(spec.source).is_dir()

    # What they cost.

    def epochs(self) -> int:
        """Epochs that a baseline is trained for unless told otherwise: all on the way of the current state."""
        return self.trained() or RecoverySettings().epochs

    def seconds(self, kind: BaselineKind, epochs: int | None = None) -> float:
        """About how long a baseline of the current state takes; 0 where that cannot be known."""
        state, original, pace = self.state, self._document.original, self._document.work.pace
        if state is None or original is None:
            return 0.0
        share, whole = state.macs / max(original.macs, 1), max(original.macs, 1)
        if kind is BaselineKind.RANDOM:
            rounds = [(one.macs / whole, s.epochs if epochs is None else epochs) for one, s in self._recoveries()]
        else:
            share = 1.0 if kind is BaselineKind.MAGNITUDE else share
            untrained = kind is BaselineKind.MAGNITUDE and not self.trained() and epochs is None
            rounds = [(share, 0 if untrained else self.epochs() if epochs is None else epochs)]
        training = sum(pace.training(each, part) for part, each in rounds)
        return training + pace.judging(Split.TEST, share)

    def trained(self) -> int:
        """Epochs on the way to the current state, 0 where it was cut and at most repaired."""
        return sum(settings.epochs for _, settings in self._recoveries())

    def _recoveries(self) -> list[tuple[State, RecoverySettings]]:
        """The recoveries on the way to the current state, each with what it made."""
        if self.state is None:
            return []
        return [(one, one.recovery) for one in path_to(self._document.states, self.state) if one.recovery is not None]

    # Making them.

    def start(self, asked: Sequence[BaselineSpec], timed: bool = True) -> None:
        """Make baselines of the current state, one after the other; those that are there are not made again.

        Args:
            asked: Which.
            timed: Time them on the target, in turns with the original and the state.
        """
        document, state = self._document, self.state
        if state is None or not asked:
            return
        target = document.target if timed and not document.target.machine else None
        title = counted(len(asked), say("Make {count} baseline"), say("Make {count} baselines"))
        arguments = (state.id, tuple(asked), target)
        document.work.run(title, self._finished, "compare", *arguments, arrived=self._arrived)

    def _finished(self, result: Any) -> None:
        """Say what follows from those that were made, and why another one was not."""
        document = self._document
        self.take(result.baselines)
        document.take_metrics((result.state,))
        for one in result.missed[1:]:
            document.note(
                say("Baseline not made ({kind}): {reason}").format(
                    kind=title_of(one.asked.kind), reason=sentence(one.reason)
                )
            )
        if result.baselines:
            document.work.say(sentences(result.verdict.sentences))
        if result.missed:
            document.fail(SecateurError.saying(result.missed[0].reason))

    def _arrived(self, made: tuple[Any, ...]) -> None:
        self.take(tuple(one for one in made if isinstance(one, Baseline)))
        self._document.take_metrics(tuple(one for one in made if isinstance(one, State)))

    def take(self, made: Sequence[Baseline]) -> None:
        """Baselines that were made, or measured again."""
        known = self._document.contents.baselines
        if any(one.id not in known for one in made):
            self._document.history.spoil()
        known |= {one.id: one for one in made}
        if made:
            self._document.announce(Aspect.STATES)

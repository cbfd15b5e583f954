"""The two models that are compared: what each of them lacks, what it costs, and what it is called."""

from dataclasses import dataclass, replace

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.analysis import Mask
from secateur.engine.structures.costs import Costs, costs

from ...document.aspects import Side
from ...document.document import Document
from ...text.metrics import kind_text

say = QCoreApplication.translate


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One of the two.

    Attributes:
        title: Its name for a person.
        state: The state, or the one that a plan is made on.
        planned: It is a plan, and not cut.
        gone: [S] what it lacks of the original.
        costs: Exact.
    """

    title: str
    state: State
    planned: bool
    gone: Mask
    costs: Costs


def state_title(state: State) -> str:
    """Original, cut s1, recovered s2."""
    name = kind_text(state.kind)
    return name if state.kind is StateKind.ORIGINAL else f"{name} {state.id}"


def side_title(document: Document, side: Side) -> str:
    """What a side is called."""
    plan = document.marked if side.live else side.plan
    state = document.contents.states.get(side.state)
    name = side.state if state is None else state_title(state)
    if plan is None or not plan.any():
        return name
    words = say("compare", "plan, {count} marked") if side.live else say("compare", "plan on {state}, {count} marked")
    return words.format(state=name, count=f"{int(plan.sum()):,}")


def sides_of(document: Document, chosen: Side | None) -> tuple[Side, ...]:
    """All that can be chosen: every state, the present plan, and a plan that was chosen before."""
    found = [Side(state.id) for state in document.states]
    if document.marked.any():
        found.append(Side(document.contents.present, document.marked, live=True))
    if chosen is not None and chosen.plan is not None and not chosen.live:
        found.append(chosen)
    return tuple(found)


def same(one: Side, other: Side) -> bool:
    """Whether two sides are the same model."""
    if one.live or other.live:
        return one.live and other.live
    return one.state == other.state and one.plan is other.plan


def default_sides(document: Document) -> tuple[Side, Side]:
    """The original, and what is present."""
    present = document.contents.present
    right = Side(present, document.marked, live=True) if document.marked.any() else Side(present)
    return Side("" if document.original is None else document.original.id), right


class Models:
    """Makes the models of sides; each state is counted once."""

    def __init__(self, document: Document) -> None:
        """Make those of a document."""
        self._document = document
        self._known: dict[str, tuple[object, Model]] = {}

    def of(self, side: Side) -> Model | None:
        """The model of a side, None where its state is gone."""
        document, analysis = self._document, self._document.analysis
        state = document.contents.states.get(side.state)
        if analysis is None or state is None:
            return None
        plan = document.marked if side.live else side.plan
        if plan is None or not plan.any():
            known = self._known.get(state.id)
            if known is None or known[0] is not analysis:
                gone = document.contents.removed_in(state.id)
                known = (analysis, Model(state_title(state), state, False, gone, costs(analysis, gone)))
                self._known[state.id] = known
            # Measured numbers are in the state, which is another object after each measurement.
            return replace(known[1], state=state)
        gone = document.contents.removed_in(state.id) | plan
        return Model(side_title(document, side), state, True, gone, costs(analysis, gone))

"""What is in memory of an opened model: the original, which is also the teacher, and at most one further state."""

from dataclasses import dataclass, field

from torch import nn

from ..errors import Message
from ..foreign_code.consent import Consent
from ..storage.weight_store import WeightStore
from ..structures.analysis import Analysis, Mask, from_identities
from ..surgery.cut.cut import rebuild
from ..tasks.protocol import Task, TaskInfo
from .open_model import Prepared
from .states import State


@dataclass(slots=True)
class LoadedModel:
    """An opened model.

    Attributes:
        prepared: The original and what it is run on.
        analysis: What can be removed.
        task: What evaluates it, None without one.
        info: What to show of the task.
        opened: When reading the model and the task began, in seconds since the epoch.
        consent: What of foreign code may run.
        present: The state in memory besides the original: its id and its model.
        remarks: By (state, criterion), what a person should know of the scores that were made.
    """

    prepared: Prepared
    analysis: Analysis
    task: Task | None
    info: TaskInfo | None
    opened: float
    consent: Consent
    present: tuple[str, nn.Module] | None = None
    remarks: dict[tuple[str, str], list[Message]] = field(default_factory=dict[tuple[str, str], list[Message]])

    def mask(self, state: State) -> Mask:
        """[S] what is gone in a state."""
        return from_identities(self.analysis, state.removed)[0]

    def model(self, state: State, store: WeightStore) -> nn.Module:
        """A state's model, which nobody may change; made again from the store unless it is in memory."""
        if not state.parent:
            return self.prepared.opened.model
        # One state besides the original at a time: two models are what memory is planned for.
        if self.present is None or self.present[0] != state.id:
            self.present = (state.id, self.fresh(state, store))
        return self.present[1]

    def fresh(self, state: State, store: WeightStore) -> nn.Module:
        """A new module with a state's weights, in eval mode; the caller may train it."""
        factory, weights = self.prepared.opened.factory, store.get(state.weights, state.id)
        return rebuild(factory, self.analysis, self.mask(state), state.edits, weights).eval()

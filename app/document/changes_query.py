"""Which two models are compared by their predictions, on which split, and whether that is known already."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.inspection.changes import Changes
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Metric, Sample, Split

KEPT = 300
"""Samples to look at that are kept: each is a small picture."""
RESULTS = 6
"""Comparisons that are kept; the engine has the predictions, and makes one again in a moment."""
TRIAL = "trial"
"""In the place of a state's id: what was tried last, which is no state."""
TRIALS = 50
"""Trials that are kept."""


@dataclass(frozen=True, slots=True)
class ChangesQuery:
    """A comparison as it is asked for.

    Attributes:
        before: Id of a state or a baseline.
        after: Id of another one.
        split: Of the data.
    """

    before: str
    after: str
    split: Split


@dataclass(frozen=True, slots=True)
class TrialQuery:
    """What is tried.

    Attributes:
        state: Id of the state.
        gone: The numbers of the structures that it is tried without, as bytes: there may be very many.
    """

    state: str
    gone: bytes

    @classmethod
    def of(cls, state: str, structures: NDArray[np.int64]) -> "TrialQuery":
        """To try a state without structures [k]."""
        return cls(state, np.unique(structures).tobytes())

    @property
    def structures(self) -> NDArray[np.int64]:
        """[k] numbers of the structures."""
        return np.frombuffer(self.gone, np.int64)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it.

    Attributes:
        query: What was tried.
        changes: From the state to what it would be.
        whole: On the whole split; else on some samples of it, and the rest follows.
    """

    query: TrialQuery
    changes: Changes
    whole: bool


@dataclass(slots=True)
class KnownChanges:
    """What a window knows of comparisons.

    Attributes:
        before: Id that was chosen, "" for the original.
        after: Id that was chosen, "" for what is present.
        split: That was chosen, None for the one that both were evaluated on.
        results: By what was asked, the last ones.
        failures: By what was asked, why there is no result, in words.
        samples: By split and row, what samples look like.
        trials: By what was tried; the last one last.
    """

    before: str = ""
    after: str = ""
    split: Split | None = None
    results: dict[ChangesQuery, Changes] = field(default_factory=dict[ChangesQuery, Changes])
    failures: dict[ChangesQuery, str] = field(default_factory=dict[ChangesQuery, str])
    samples: dict[tuple[Split, int], Sample] = field(default_factory=dict[tuple[Split, int], Sample])
    trials: dict[TrialQuery, Trial] = field(default_factory=dict[TrialQuery, Trial])

    @property
    def tried(self) -> Trial | None:
        """The last trial, None for none."""
        return next(reversed(self.trials.values()), None)

    def found(self, query: ChangesQuery) -> Changes | None:
        """What a comparison gave, None where that is not known."""
        tried = self.tried
        return tried.changes if tried is not None and query.after == TRIAL else self.results.get(query)

    def take_trial(self, trial: Trial) -> None:
        """Keep what came of a trial: the last one from now on."""
        self.trials.pop(trial.query, None)
        self.trials[trial.query] = trial
        for old in [*self.trials][:-TRIALS]:
            del self.trials[old]

    def take(self, query: ChangesQuery, changes: Changes) -> None:
        """Keep a result."""
        self.failures.pop(query, None)
        self.results.pop(query, None)
        self.results[query] = changes
        for old in [*self.results][:-RESULTS]:
            del self.results[old]

    def take_samples(self, split: Split, samples: dict[int, Sample]) -> None:
        """Keep what samples look like."""
        self.samples |= {(split, row): one for row, one in samples.items()}
        for old in [*self.samples][:-KEPT]:
            del self.samples[old]

    def forget(self, name: str = "") -> None:
        """Forget what is known of a state or baseline that was measured anew; of all where there is other data."""
        for known in (self.results, self.failures):
            for query in [one for one in known if not name or name in (one.before, one.after)]:
                del known[query]
        for trial in [one for one in self.trials if name in ("", one.state)]:
            del self.trials[trial]
        if not name:
            self.samples.clear()
            self.split = None


def metric_on(one: State | Baseline | None, split: Split) -> Metric | None:
    """The metric of a state or baseline on a split, where that still holds."""
    if one is None:
        return None
    metrics = (one.metric,) if isinstance(one, Baseline) else () if one.stale else one.metrics
    return next((metric for metric in metrics if metric.split is split), None)


def is_predicted(one: State | Baseline | None, split: Split) -> bool:
    """Whether the predictions of a state or baseline on a split were kept."""
    metric = metric_on(one, split)
    return metric is not None and bool(metric.predictions)

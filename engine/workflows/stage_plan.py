"""Memory, compute and time of every stage of a pruning before any of them runs: from the analysis alone.

Compute is counted in multiply-accumulates (MACs; a FLOP count is twice that) of passes of samples of the example's
shape. A forward is what `structures/costs.py` counts. A backward is two forwards: for each product, one for the
gradient of its input and one for that of its weight, each as large (Kaplan et al. 2020, "Scaling Laws for Neural
Language Models", section 2.1: 6 N FLOPs a token, of which the forward is 2 N). So a sample of training takes three
forwards of the student and, where the teacher has a part in the loss, one of the teacher. It is at most that: the first
layer that is trained or rated needs no gradient of its input. Scores take the passes that
their criterion says it takes at most (`Criterion.cost`).

Memory of a training is what `session/memory_needs.py` counts before one begins, with the states of Adam, whatever the
optimiser. Scores take the weights, a gradient of each where the criterion has a backward, and activations of a batch,
or of a sample where it goes through samples. A cut and its verification hold both models in the memory of the first
process, the verification with the activations of the example.

Left out are: communication between processes; gates of masks (8 to 16 % of a step where it was measured); repair by
least squares; evaluations; the forwards of a verification; buffers, what an operator or a criterion needs for itself,
and what a framework reserves. Activations have the data type of the example's run and attention as plain products, so
mixed precision and fused attention take less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..planning.protocol import Choose
from ..recovery.budget import Budget, Unit
from ..recovery.protocol import RecoverySettings, require_tokens, require_whole
from ..scoring.criteria import CRITERIA
from ..scoring.protocol import ScoringContext
from ..session.memory_needs import training_memory
from ..structures.analysis import Analysis, Mask
from ..structures.costs import costs
from ..structures.memory import SINGLE, memory, sample_memory
from .prune import PruneRequest
from .stages import Stage, StageName

FORWARD, BACKWARD = 1, 2
"""Passes, in forwards."""


@dataclass(frozen=True, slots=True)
class StagePlanner:
    """Counts stages of prunings of one model.

    Attributes:
        analysis: Of the original.
        batch: Samples in a batch.
        tokens: In a sample of the example; 0 where it is no text.
        processes: That score and train together.
    """

    analysis: Analysis
    batch: int
    tokens: int
    processes: int = 1

    def stages(self, plans: Sequence[Mask], settings: PruneRequest) -> tuple[Stage, ...]:
        """What a pruning with data takes.

        Args:
            plans: [rounds] of [S], what each round has removed in its end.
            settings: Of the pruning, the criterion among them.

        Raises:
            SecateurError: Masks would be learned with a model that is divided.
            TaskError: A budget counts tokens, and the samples have none.
        """
        found, before, recovery = list[Stage](), self.analysis.empty(), settings.recovery
        masked = settings.choose is Choose.MASKS
        if masked:
            # Masks are learned on the whole model, of which each process has a copy.
            intent = settings.mask_intent
            require_whole(intent.recovery, self.processes)
            training = intent.recovery.within(Budget(Unit.STEPS, intent.steps))
            found += [self._scores(before, settings), self._training(StageName.MASKS, self.analysis.empty(), training)]
        training = None if recovery is None else recovery.suited_to(costs(self.analysis).macs, self.batch)
        training = None if training is None else training.distilling or training
        for number, plan in enumerate(plans):
            if not masked:
                found.append(self._scores(before, settings))
            # The cut and its verification, which the first process does alone.
            held = SINGLE * (costs(self.analysis).parameters + costs(self.analysis, plan).parameters)
            ran = memory(self.analysis).peak + memory(self.analysis, plan).peak
            found += [Stage(StageName.CUT, held, 0, 0), Stage(StageName.VERIFICATION, held, ran, None)]
            if training is not None and training.trains:
                # The teacher is tuned once: it teaches in all rounds.
                if number == 0 and training.tuning is not None:
                    found.append(self._training(StageName.TUNING, self.analysis.empty(), training.tuning))
                found.append(self._training(StageName.RECOVERY, plan, training))
            before = plan
        # One stage of each name: the most memory of its rounds, and all of their MACs.
        stages = found
        found = list[Stage]()
        for name in StageName:
            rounds = [one for one in stages if one.name is name]
            if rounds:
                macs = [one.macs for one in rounds if one.macs is not None]
                largest = max(rounds, key=lambda one: one.memory)
                found.append(replace(largest, macs=sum(macs) if len(macs) == len(rounds) else None))
        return tuple(found)

    def _scores(self, removed: Mask, settings: PruneRequest) -> Stage:
        """One rating of the model without what is removed."""
        rule, count = CRITERIA[settings.criterion], costs(self.analysis, removed)
        cost = rule.cost(ScoringContext(self.analysis, removed, {}, self.batch), settings.choices)
        samples, activations = 1 if cost.samples else self.batch, sample_memory(self.analysis, removed)
        macs = samples * count.macs * (FORWARD * cost.forwards + BACKWARD * cost.backwards)
        held = SINGLE * count.parameters * (2 if cost.backwards else 1)
        one = activations.saved if cost.backwards else activations.peak if cost.forwards else 0
        return Stage(StageName.SCORES, held, samples * one, macs, self.processes if rule.parallel else 1)

    def _training(self, name: StageName, removed: Mask, settings: RecoverySettings) -> Stage:
        need = training_memory(self.analysis, removed, self.batch, settings, self.processes, settings.teaches)
        macs = (FORWARD + BACKWARD) * costs(self.analysis, removed).macs
        macs += FORWARD * costs(self.analysis).macs if settings.teaches else 0
        # MACs of all samples that a training goes through, by those of one; None where the data or time ends it.
        budget = settings.budget
        if budget.unit is Unit.STEPS:
            of_budget = int(budget.amount) * settings.accumulate * self.batch * macs
        elif budget.unit is Unit.TOKENS:
            require_tokens(settings, self.tokens)
            of_budget = int(budget.amount) * macs // self.tokens
        else:
            of_budget = None
        return Stage(name, need.held, need.activations, of_budget, self.processes)

"""Random removal reaches the same goal by other structures, which the seed draws."""

from dataclasses import replace

import torch

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.baselines.random_removal import make
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.costs import costs
from tests.engine.baselines.compared_state import half

NEVER = NeverCancelled()


def test_the_goal_is_the_states_own_and_what_goes_is_drawn_by_the_seed() -> None:
    compared = half(epochs=0)
    first, again, other = (
        finish(make(compared, BaselineSpec(BaselineKind.RANDOM, seed=seed), NEVER)) for seed in (1, 1, 2)
    )
    whole = costs(compared.analysis).macs
    assert 0.45 * whole < first.macs <= 0.5 * whole
    assert first.parameters == sum(p.numel() for p in first.model.parameters())
    assert (first.removed == again.removed).all()
    assert (first.removed != other.removed).any() and (first.removed != compared.removed).any()


def test_it_is_trained_as_long_as_the_state_was_and_the_original_stays() -> None:
    compared = half(epochs=2)
    before = {name: tensor.clone() for name, tensor in compared.original.state_dict().items()}
    made = finish(make(compared, BaselineSpec(BaselineKind.RANDOM), NEVER))
    shorter = finish(make(compared, BaselineSpec(BaselineKind.RANDOM, epochs=1), NEVER))
    assert (made.epochs, shorter.epochs) == (2, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in compared.original.state_dict().items())


def test_its_progress_is_that_of_its_training_and_begins_after_a_short_cut() -> None:
    told: list[tuple[str, float]] = []
    job = make(half(epochs=2), BaselineSpec(BaselineKind.RANDOM), NEVER)
    finish(job, lambda progress: told.append((progress.message.template, progress.share)))
    shares, cut = [share for _, share in told], 0.2 / 2.2
    assert shares == sorted(shares) and 0.9 < shares[-1] <= 1.0
    assert dict(told)["Removing random structures"] < cut
    assert max(share for words, share in told if not words.startswith(("Fine-tuning", "Measured"))) > cut


def test_what_was_locked_stays() -> None:
    compared = half(epochs=None)
    one = compared.rounds[0]
    locked = compared.analysis.empty()
    chosen = compared.analysis.sets[0].structures
    locked[chosen] = True
    held = replace(compared, rounds=(replace(one, locked=locked),))
    made = finish(make(held, BaselineSpec(BaselineKind.RANDOM), NEVER))
    assert made.removed.any() and not made.removed[chosen].any()

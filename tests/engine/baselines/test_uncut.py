"""The uncut network after the same recovery: its weights move, its shape does not, and the original is left alone."""

import torch

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.baselines.uncut import make
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.costs import costs
from tests.engine.baselines.compared_state import half


def test_it_is_the_original_trained_as_the_state_was() -> None:
    compared = half(epochs=1)
    before = {name: one.clone() for name, one in compared.original.state_dict().items()}
    made = finish(make(compared, BaselineSpec(BaselineKind.UNCUT), NeverCancelled()))
    whole = costs(compared.analysis)
    assert (made.parameters, made.macs, made.epochs) == (whole.parameters, whole.macs, 1)
    assert not made.removed.any()
    after = made.model.state_dict()
    assert {name: one.shape for name, one in after.items()} == {name: one.shape for name, one in before.items()}
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert all(torch.equal(one, before[name]) for name, one in compared.original.state_dict().items())


def test_beside_a_state_that_was_not_trained_it_is_the_original() -> None:
    compared = half(epochs=None)
    made = finish(make(compared, BaselineSpec(BaselineKind.UNCUT), NeverCancelled()))
    assert made.epochs == 0
    assert all(torch.equal(one, made.model.state_dict()[name]) for name, one in compared.original.state_dict().items())


def test_beside_a_state_that_was_only_repaired_it_is_not_trained() -> None:
    assert finish(make(half(epochs=0), BaselineSpec(BaselineKind.UNCUT), NeverCancelled())).epochs == 0

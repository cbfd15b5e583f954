"""Branches that only training takes: auxiliary heads are understood, cut and verified; the model stays as it was."""

import copy

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(4, 3, 8, 8),)


class Auxiliary(nn.Module):
    """A second head on the way, in training only, with dropout and batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3)
        self.head, self.hidden, self.auxiliary = nn.Linear(6, 5), nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor):
        x = torch.relu(self.norm(self.first(x)))
        answer = self.head(self.second(x).mean((2, 3)))
        if not self.training:
            return answer
        hidden = nn.functional.dropout(torch.relu(self.hidden(x.mean((2, 3)))), 0.5)
        return answer, self.auxiliary(hidden)


def test_an_auxiliary_head_is_cut_along_and_verified_in_training_mode() -> None:
    model = Auxiliary().eval()
    before = copy.deepcopy(model.state_dict())
    analysis = analyse(model, INPUTS)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert not model.training
    assert {s.name for s in analysis.sets} == {"first.weight", "second.weight", "hidden.weight"}
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert made.model.get_parameter("hidden.weight").shape == (6, 4)
    result = finish(verify(model, made.model, analysis, mask, INPUTS))
    assert result.passed and "removal in training mode" in [c.name for c in result.checks]


def test_a_wrong_index_in_the_auxiliary_head_fails_verification() -> None:
    model = Auxiliary().eval()
    analysis = analyse(model, INPUTS)
    mask, other = analysis.empty(), analysis.empty()
    hidden = next(s for s in analysis.sets if s.name == "hidden.weight")
    mask[hidden.first : hidden.first + 3], other[hidden.first + 1 : hidden.first + 4] = True, True
    made = cut(model, analysis, mask, INPUTS)
    result = finish(verify(model, made.model, analysis, other, INPUTS))
    assert not result.passed and result.difference > 1e-3

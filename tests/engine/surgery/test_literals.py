"""Numbers that a forward writes are replaced by their place in the code: in helpers, loops and branches, and safely."""

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import apply_edits, with_numbers
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Edits, merged_repairs
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.verify import verify


def heads_apart(x: torch.Tensor, n: int, c: int) -> torch.Tensor:
    """A helper which the forward calls: its sizes come from elsewhere."""
    return x.reshape(*x.shape[:2], n, c // n).transpose(1, 2)


class Branching(nn.Module):
    """Attention whose code calls reshape once more for long inputs, and three times in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.parts, self.out = nn.ModuleList([nn.Linear(12, 12) for _ in range(3)]), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] > 6:
            x = x.reshape(len(x), -1, 12)
        q, k, v = (heads_apart(part(x), 4, 12) for part in self.parts)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * (12 // 4) ** -0.5, -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(len(x), -1, 12))


INPUTS = (torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0)),)
LONG = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(1))


def halved(kind: Kind) -> tuple[nn.Module, nn.Module, Edits]:
    torch.manual_seed(0)
    model = Branching().eval()
    analysis = analyse(model, INPUTS)
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.kind is kind))
    made = cut(model, analysis, mask, INPUTS)
    result = finish(verify(model, made.model, analysis, mask, INPUTS))
    assert result.passed
    return model, made.model, made.edits


@pytest.mark.parametrize("kind", [Kind.HEAD, Kind.HEAD_DIM])
def test_a_branch_that_the_example_did_not_take_shifts_no_replacement(kind: Kind) -> None:
    _, smaller, edits = halved(kind)
    assert edits.literals and all(number == -1 for _, _, number, _, _ in edits.literals)
    with torch.no_grad():
        together = smaller(LONG)
        apart = torch.cat([smaller(one[None]) for one in LONG])
    torch.testing.assert_close(together, apart)


def test_it_is_copied_pickled_trained_and_exported() -> None:
    _, smaller, _ = halved(Kind.HEAD)
    expected = smaller(*INPUTS)
    for other in (copy.deepcopy(smaller), pickle.loads(pickle.dumps(smaller))):
        assert torch.equal(other(*INPUTS), expected)
    smaller(*INPUTS).sum().backward()
    program = torch.export.export(smaller, INPUTS)
    torch.testing.assert_close(program.module()(*INPUTS), expected)


def test_code_that_changed_since_the_cut_is_refused() -> None:
    _, smaller, edits = halved(Kind.HEAD)
    other = tuple(
        (path, f"{site[: site.index('#') + 1]}00000000{site[site.index('+') :]}", n, where, value)
        for path, site, n, where, value in edits.literals
    )
    apply_edits(smaller, {"literals": other})
    with pytest.raises(RuntimeError, match="differs from the code that the model was cut with"):
        smaller(*INPUTS)


def test_values_of_single_calls_give_way_to_one_that_all_have() -> None:
    """A first cut gives two calls of one place other sizes; after the second both have the same."""
    one, other = ("blocks", "Model.forward+3", 0, "1", 8), ("blocks", "Model.forward+3", 1, "1", 6)
    apart = ("blocks", "Model.forward+9", -1, "1", 5)
    both = ("blocks", "Model.forward+3", -1, "1", 4)
    assert merged_repairs("literals", [one, other, apart], [both]) == [both, apart]
    assert merged_repairs("literals", [both, apart], [one, other]) == [one, other, apart]


@dataclass(frozen=True)
class Shape:
    """Sizes that no repair can change."""

    width: int = 12


class Held(nn.Module):
    """Its code takes a size from a frozen object."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = Shape()
        self.first, self.out = nn.Linear(9, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.first(x).tanh().reshape(-1, self.shape.width))


def test_a_frozen_object_that_holds_a_size_is_left_alone() -> None:
    torch.manual_seed(0)
    model, inputs = Held().eval(), (torch.randn(3, 9),)
    analysis = analyse(model, inputs)
    made = cut(model, analysis, trial_mask(analysis), inputs)
    assert [value for *_, value in made.edits.literals] == [6] and model.shape.width == 12
    assert made.model(*inputs).shape == (3, 5)


class Interleaved(nn.Module):
    """Pairs of neighbours change places, in code that writes the width."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(12, 8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).reshape(len(x), -1, 8)
        return self.out(torch.stack([x[..., 1::2], -x[..., ::2]], -1).flatten(-2))


def test_which_one_of_each_pair_is_taken_stays() -> None:
    torch.manual_seed(0)
    model = Interleaved().eval()
    analysis = analyse(model, INPUTS)
    (pairs,) = (s for s in analysis.sets if s.count == 4)
    mask = analysis.empty()
    mask[pairs.first] = True
    made = cut(model, analysis, mask, INPUTS)
    assert made.edits.literals and not any(where.endswith("start") for _, _, _, where, _ in made.edits.literals)
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed


class Shuffled(nn.Module):
    """A channel shuffle between two layers, whose number of groups shows in no result."""

    def __init__(self, groups: int = 0) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(12, 8), nn.Parameter(torch.randn(8))
        self.out = nn.Linear(8, 5)
        if groups:
            self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        groups = getattr(self, "groups", 2)
        shuffled = x.view(*x.shape[:-1], groups, x.shape[-1] // groups).transpose(-1, -2).reshape(x.shape)
        return self.out(shuffled * self.scale)


@pytest.mark.parametrize("groups", [0, 2])
def test_groups_of_a_shuffle_go_though_no_result_shows_how_many_there_are(groups: int) -> None:
    torch.manual_seed(0)
    model = Shuffled(groups).eval()
    analysis = analyse(model, INPUTS)
    (pair,) = (s for s in analysis.sets if s.count == 2)
    mask = analysis.empty()
    mask[pair.first] = True
    made = cut(model, analysis, mask, INPUTS)
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed
    if groups:
        assert ("", "groups", 1) in made.edits.attributes and not made.edits.literals
    else:
        assert [value for *_, value in made.edits.literals] == [1, 4]


class Repeats(nn.Module):
    """Two query heads to each key/value head, all sizes written out."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 16), nn.Linear(12, 8), nn.Linear(12, 8)
        self.out = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q = self.query(x).view(n, t, 4, 4).transpose(1, 2)
        k, v = (part(x).view(n, t, 2, 4).transpose(1, 2) for part in (self.key, self.value))
        k, v = k.repeat_interleave(2, 1), torch.repeat_interleave(v, 2, dim=1)
        return self.out(((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_how_often_keys_are_repeated_is_replaced() -> None:
    torch.manual_seed(0)
    model = Repeats().eval()
    analysis = finish(settle(model, INPUTS, name="repeats"))
    (heads,) = (s for s in analysis.sets if s.kind is Kind.HEAD)
    mask = analysis.empty()
    mask[heads.first] = True
    made = cut(model, analysis, mask, INPUTS)
    assert [value for _, site, _, _, value in made.edits.literals if "repeat" in site] == [1, 1]
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed
    assert {made.model.get_parameter(f"{name}.weight").shape for name in ("query", "key")} == {(8, 12)}


@pytest.mark.parametrize(("value", "stop"), [(4, 4), ((2, 3), 4)])
def test_a_bound_of_a_slice_is_replaced_or_multiplied(value: object, stop: int) -> None:
    args, kwargs = with_numbers((torch.zeros(6), (slice(None), slice(1, 6, 2))), {}, {"1.1.stop": value})
    assert args[1] == (slice(None), slice(1, stop, 2)) and kwargs == {}

"""What nothing depends on fixes nothing; weights that run for nothing still fit what they read."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import all_bundles
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import CountRule
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.verify.verify import verify
from tests.engine.structures.rules.between import Rows, features, sequences
from tests.engine.structures.rules.proof import prove


class Look(nn.Module):
    """Reads an index only to see a shape, changes a copy in place for nothing, and keeps a count."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = x[:, 0].shape[0]
        log = x.clone()
        log[:, 1] += count
        self.seen += x.mean(0)
        return x * 2


def test_a_result_that_nobody_uses_fixes_nothing() -> None:
    torch.manual_seed(0)
    prove(Rows(Look(), 8, 8), features(), "first.weight", "between.seen")


class Spare(nn.Module):
    """A branch with weights that the result does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.norm = nn.Linear(8, 6), nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm(self.branch(x))
        return x


def test_weights_that_run_for_nothing_fit_what_they_read_and_keep_what_they_make() -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Spare(), 8, 8), features(), "first.weight", "between.branch.weight:1")
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["between.branch.weight", 0] == reasons["between.norm.weight", 0] == "fixed.unused"


class Pooled(nn.Module):
    """The first of a sequence is normalised for nobody, as encoders without their head do it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm(self.norm(x)[:, 0])
        return self.norm(x)


def test_a_norm_that_nobody_reads_fixes_no_width() -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Pooled(), 8, 8), sequences(), "first.weight", "between.norm.weight")
    assert not any(f.reason.code == "fixed.unused" for f in analysis.fixed)


class Through(nn.Module):
    """A view of a tensor is changed, and the tensor itself is used."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y.unsqueeze(1)[:, 0].mul_(self.scale)
        return y


def test_a_change_in_place_through_a_view_counts() -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Through(), 8, 8), features(), "first.weight", "between.scale")
    assert not any(f.reason.code == "fixed.unused" for f in analysis.fixed)


def test_an_operator_that_returns_nothing_changes_what_it_takes() -> None:
    @torch.library.custom_op("secateurtest::halve", mutates_args=("x",))
    def halve(x: torch.Tensor) -> None:
        x.mul_(0.5)

    class Halved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.clone()
            halve(y)
            return y

    analysis = analyse(Rows(Halved(), 8, 8), features())
    assert {f.reason.code for f in analysis.fixed if analysis.tensors[f.tensor].name == "first.weight"} >= {
        "fixed.no_rule"
    }


class Checked(nn.Module):
    """Computes with a width for a check, on its way to a result; the last layer runs for nothing but the check."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.given, self.out = nn.Linear(9, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = [self.given(x)]
        for layer in self.layers:
            states.append(states[-1] + torch.tanh(layer(states[-1])))
        rows = torch.ones(len(x), dtype=torch.long).sum()
        assert bool(rows * states[-2].shape[-1] == states[-1].numel())
        return self.out(states[-2])


def test_numbers_and_layers_of_a_mere_check_hold_no_width() -> None:
    torch.manual_seed(0)
    analysis = prove(Checked(), features(), "given.weight", "layers.1.weight:1", "layers.1.weight")
    assert {str(s.kind) for s in analysis.sets} >= {"residual width"}


def viewed(x: torch.Tensor) -> torch.Tensor:
    """Takes the channels apart into two halves, and does not use them."""
    x.view(len(x), 2, x.shape[1] // 2).transpose(1, 2).reshape(x.shape)
    return x


def split(x: torch.Tensor) -> torch.Tensor:
    """The same, spelled otherwise."""
    _first, _second = x.split(x.shape[1] // 2, 1)
    return x


class Apart(nn.Module):
    """Does something to its input, and returns it."""

    def __init__(self, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(x)


@pytest.mark.parametrize("apart", [viewed, split])
def test_what_is_taken_apart_for_nothing_stays_divisible(apart: Callable[[torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Apart(apart), 8, 8), features(), "first.weight")
    (one,) = analysis.constraints
    assert (one.kind, one.number) == (CountRule.MULTIPLE, 2)
    assert [(bundle.sizes, bundle.most) for bundle in analysis.bundles] == [((2,), 3)]


def normed(x: torch.Tensor) -> torch.Tensor:
    """Takes a view of the channels apart behind an operator that only passes them."""
    nn.functional.instance_norm(x[:, :, None].expand(-1, -1, 4)).split(x.shape[1] // 2, 1)
    return x


def joined(x: torch.Tensor) -> torch.Tensor:
    """Takes apart what it has put together."""
    torch.cat([x, x[:, :3] * 2, x[:, :5]], 1).unflatten(1, (2, -1)).sum(1)
    return x


def compared(x: torch.Tensor) -> torch.Tensor:
    """Halves that have to fit each other, and others."""
    left, right = x.split(x.shape[1] // 2, 1)
    _ = (left + right) * x.unflatten(1, (2, -1)).mean(1)
    return x


def picked(x: torch.Tensor) -> torch.Tensor:
    """One index of the channels, and a part of them."""
    _ = x[:, 5].sum() + x[:, :6].sum()
    return x


def front(x: torch.Tensor) -> torch.Tensor:
    """Halves for nobody, beside a number that a repair has to replace."""
    _ = x.split(x.shape[1] // 2, 1)[1]
    return x[:, :5]


@pytest.mark.parametrize(
    ("run", "reads"), [(viewed, 8), (split, 8), (normed, 8), (joined, 8), (compared, 8), (picked, 8), (front, 5)]
)
def test_whatever_number_is_left_of_an_axis_code_that_runs_for_nothing_runs(
    run: Callable[[torch.Tensor], torch.Tensor], reads: int
) -> None:
    torch.manual_seed(0)
    model, inputs = Rows(Apart(run), 8, reads).eval(), features()
    analysis = analyse(model, inputs)
    numbers = set[int]()
    for bundle in all_bundles(analysis):
        for steps in range(1, bundle.most + 1):
            mask = analysis.empty()
            for number, size in zip(bundle.sets, bundle.sizes, strict=True):
                mask[analysis.sets[number].first :][: size * steps] = True
            made = cut(model, analysis, mask, inputs)
            result = finish(verify(model, made.model, analysis, mask, inputs))
            assert all(c.passed for c in result.checks), result
            numbers.add(int(mask.sum()))
    assert max(numbers) >= 2


def test_what_is_taken_apart_for_nothing_is_no_set_of_its_own() -> None:
    assert len(analyse(Rows(Apart(normed), 8, 8), features()).sets) == 1
    halves = analyse(Rows(Apart(compared), 8, 8), features())
    assert [one.kind for one in halves.constraints].count(CountRule.EQUAL) >= 1

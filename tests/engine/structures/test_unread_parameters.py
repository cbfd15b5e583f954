"""What the example inputs did not reach stays: what modules that did not run may read, and rows of longer inputs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask

ROWS = (torch.randn(2, 8),)


class Branches(nn.Module):
    """One of two layers runs, by the values of the input; code around them as a test has it."""

    def __init__(self, one: nn.Module, other: nn.Module, width: int = 64) -> None:
        super().__init__()
        self.first, self.one, self.other = nn.Linear(8, width), one, other
        self.free, self.last = nn.Linear(64, 24), nn.Linear(24, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = self.other(h) if x.mean() > 1 else self.one(h)
        return self.last(torch.relu(self.free(h)))


def offered(analysis: Analysis) -> set[str]:
    """First parameters of what can be removed."""
    return {one.name for one in analysis.sets if one.kind is not Kind.BLOCK}


def survives(model: nn.Module, analysis: Analysis, *inputs: torch.Tensor) -> None:
    """Without half of everything that is offered, a model runs on other inputs too."""
    mask = trial_mask(analysis)
    assert mask.any()
    made = cut(model, analysis, mask, inputs)
    made.model(*(x.abs() + 2 for x in inputs))


def test_the_branch_that_did_not_run_keeps_what_it_reads_and_what_it_joins() -> None:
    model = Branches(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    analysis = finish(settle(model, ROWS, name=""))
    assert offered(analysis) == {"free.weight"} and analysis.unused == ("other",)
    survives(model, analysis, *ROWS)
    fixed = {analysis.tensors[f.tensor].name: f.reason for f in analysis.fixed if f.dim == 0}
    assert fixed["first.weight"].code == fixed["one.weight"].code == "fixed.unused_reader"
    assert str(fixed["first.weight"]).startswith("other did not run on the example input")
    assert [note.code for note in analysis.notes] == ["note.unused"] and "other" in str(analysis.notes[0])


def test_what_did_not_run_is_ignored_on_the_users_word() -> None:
    model = Branches(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    analysis = finish(settle(model, ROWS, name="", ignore_unused=True))
    assert offered(analysis) == {"first.weight", "one.weight", "free.weight"} and analysis.unused == ("other",)
    assert [note.code for note in analysis.notes] == ["note.unused_ignored"]
    with pytest.raises(RuntimeError):
        survives(model, analysis, *ROWS)


@pytest.mark.parametrize(
    "other",
    [
        nn.Sequential(nn.Linear(64, 99), nn.ReLU(), nn.Linear(99, 99), nn.ReLU(), nn.Linear(99, 64)),
        nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64, bias=False)),
        nn.BatchNorm1d(64, affine=False),
        nn.Sequential(nn.GroupNorm(4, 64, affine=False), nn.LayerNorm(64, elementwise_affine=False)),
        nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)),
        nn.Bilinear(64, 64, 64),
    ],
    ids=["bottleneck", "norm", "statistics", "bare norms", "parametrised", "bilinear"],
)
def test_other_layers_that_did_not_run(other: nn.Module) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = other

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, x) if isinstance(other, nn.Bilinear) else self.inner(x)

    model = Branches(nn.Linear(64, 64), Twice()).eval()
    analysis = analyse(model, ROWS)
    assert offered(analysis) == {"free.weight"} and analysis.unused == ("other",)
    survives(model, analysis, *ROWS)


class Flattened(nn.Module):
    """A head that flattens what another averages; in between a width that neither sees."""

    def __init__(self, averaged: bool = True) -> None:
        super().__init__()
        self.first, self.block = (
            nn.Conv2d(3, 10, 3, padding=1),
            nn.Sequential(nn.Conv2d(10, 20, 1), nn.Conv2d(20, 12, 1)),
        )
        self.mean, self.flat, self.averaged = nn.Linear(12, 5), nn.Linear(12 * 4 * 4, 5), averaged

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.block(torch.relu(self.first(x)))
        if x.mean() > 1:
            return self.flat(h.flatten(1))
        return self.mean(h.mean((2, 3)) if self.averaged else h.amax((2, 3)))


def test_a_layer_that_reads_a_flattened_map_keeps_its_channels_and_no_others() -> None:
    model, images = Flattened().eval(), torch.randn(2, 3, 4, 4)
    analysis = analyse(model, (images,))
    assert offered(analysis) == {"first.weight", "block.0.weight"}
    survives(model, analysis, images)


class Parts(nn.Module):
    """Layers that did not run read two maps joined, or half of one: of no axis have they the size."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.inner = nn.Linear(8, 10), nn.Linear(8, 17), nn.Linear(10, 34)
        self.both, self.part, self.last = nn.Linear(27, 4), nn.Linear(5, 4), nn.Linear(34, 4)
        self.tail = nn.Linear(17, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.left(x), self.right(x)
        if x.mean() > 1:
            return self.both(torch.cat([left, right], 1)) + self.part(left[:, :5])
        return self.last(torch.relu(self.inner(left))) + self.tail(right)


def test_layers_that_fit_no_axis_keep_those_that_they_may_put_together_or_take_apart() -> None:
    model = Parts().eval()
    analysis = analyse(model, ROWS)
    assert offered(analysis) == {"inner.weight"} and set(analysis.unused) == {"both", "part"}
    survives(model, analysis, *ROWS)


class Expert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))


class Mixture(nn.Module):
    """A layer of experts of which one gets no sample, between two residual layers."""

    def __init__(self, idle: int = 1) -> None:
        super().__init__()
        self.first, self.hidden, self.back = nn.Linear(8, 16), nn.Linear(16, 20), nn.Linear(20, 16)
        self.experts, self.last, self.idle = nn.ModuleList(Expert() for _ in range(3)), nn.Linear(16, 4), idle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        h = h + self.back(torch.relu(self.hidden(h)))
        for number, expert in enumerate(self.experts):
            if number != self.idle or x.mean() > 1:
                h = h + expert(h)
        return self.last(h)


def test_an_expert_that_got_no_sample_keeps_the_width_and_leaves_the_others_neurons() -> None:
    model = Mixture().eval()
    analysis = analyse(model, ROWS)
    assert analysis.unused == ("experts.1",)
    assert offered(analysis) == {"hidden.weight", "experts.0.up.weight", "experts.2.up.weight"}
    survives(model, analysis, *ROWS)
    assert not analyse(Mixture(idle=-1).eval(), ROWS).unused


class Beyond(nn.Module):
    """A layer of one module that the code around it may run on something of another module."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.other = nn.Linear(8, 14), nn.Linear(8, 22)
        self.reader.spare = nn.Linear(22, 4)
        self.last, self.end = nn.Linear(14, 4), nn.Linear(22, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read, other = self.reader(x), self.other(x)
        spare = self.reader.get_submodule("spare")
        return self.last(read) + (spare(other) if x.mean() > 1 else self.end(other))


def test_the_code_around_a_module_may_run_what_the_module_holds() -> None:
    model = Beyond().eval()
    analysis = analyse(model, ROWS)
    assert offered(analysis) == {"reader.weight"} and analysis.unused == ("reader.spare",)
    survives(model, analysis, *ROWS)


class Read(nn.Module):
    """Parameters that run though no layer of theirs does: tied ones, of attention, asked in Python, in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tied, self.loose = (
            nn.Linear(8, 16),
            nn.Linear(16, 16, bias=False),
            nn.Linear(16, 16, bias=False),
        )
        self.tied.weight = self.loose.weight
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.scale, self.dead, self.auxiliary = nn.Parameter(torch.tensor(2.0)), nn.Linear(16, 16), nn.Linear(16, 3)
        self.last = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor):
        h = self.loose(torch.relu(self.first(x))) * float(self.scale)
        h = h + self.attention(h[:, None], h[:, None], h[:, None])[0][:, 0]
        self.dead(h)
        return (self.last(h), self.auxiliary(h)) if self.training else self.last(h)


def test_what_was_read_is_not_taken_for_unused() -> None:
    analysis = analyse(Read().eval(), ROWS)
    assert not analysis.unused and not analysis.notes
    assert "first.weight" in offered(analysis)


def test_a_table_that_did_not_run_keeps_the_axes_of_its_sizes_alone() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.hidden, self.last = nn.Linear(8, 12), nn.Linear(12, 18), nn.Linear(18, 4)
            self.mask, self.places = nn.Parameter(torch.zeros(12)), nn.Parameter(torch.zeros(1, 7, 12))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            h = h if x.mean() < 1 else torch.where(x[:, :1] > 2, self.mask, h)
            return self.last(torch.relu(self.hidden(h)))

    model = Masked().eval()
    analysis = analyse(model, ROWS)
    assert analysis.unused == ("mask", "places") and offered(analysis) == {"hidden.weight"}
    survives(model, analysis, *ROWS)


class Positions(nn.Module):
    """Adds as many rows of a table [9, 16] to a sequence [N, T, 6] as it is long, from the second on."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 9, 16))
        self.embed, self.out = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.positions.to(x.dtype)[:, 1:]
        return self.out(torch.tanh(self.embed(x) + table[:, : x.shape[1]]))


def offered_axes(analysis: Analysis) -> list[tuple[str, int, int]]:
    return [(one.name, one.dim, one.count) for one in analysis.sets]


def test_positions_behind_the_end_of_the_example_are_kept() -> None:
    torch.manual_seed(0)
    model, inputs = Positions().eval(), (torch.randn(2, 3, 6),)
    analysis = finish(settle(model, inputs))
    assert offered_axes(analysis) == [("embed.weight", 0, 16)]
    rows = [f for f in analysis.fixed if (analysis.tensors[f.tensor].name, f.dim) == ("positions", 1)]
    assert [(one.reason.code, one.count) for one in rows if one.reason.code == "fixed.unread"] == [("fixed.unread", 6)]
    mask = trial_mask(analysis)
    smaller = cut(model, analysis, mask, inputs).model
    longer, gone = torch.randn(2, 8, 6), analysis.index[mask]
    with torch.no_grad():
        model.out.weight[:, gone] = 0
        assert torch.allclose(smaller(longer), model(longer), atol=1e-6)


class Sliced(nn.Module):
    """The first 10 of 16 channels, taken of the weight or of what it gives."""

    def __init__(self, weight: bool, last: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16, bias=False), nn.Identity() if last else nn.Linear(10, 3)
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.linear(x, self.first.weight[:10]) if self.weight else self.first(x)[:, :10]
        return self.second(torch.tanh(h))


def test_channels_that_nothing_reads_can_go() -> None:
    for weight in (False, True):
        analysis = analyse(Sliced(weight, last=False), (torch.randn(2, 6),))
        assert offered_axes(analysis) == [("first.weight", 0, 10), ("first.weight", 0, 6)]
    assert offered_axes(analyse(Sliced(weight=False, last=True), (torch.randn(2, 6),))) == [("first.weight", 0, 6)]

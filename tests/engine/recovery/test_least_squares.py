"""Products that lost inputs are repaired to what least squares on what enters and leaves them give."""

import copy
import math
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.inference.model_inputs import batch_size
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recovery import consumers, least_squares
from secateur.engine.recovery.batchnorm import adjust_batchnorm
from secateur.engine.recovery.consumers import RIDGES
from secateur.engine.recovery.least_squares import RepairResult, enough_rows, join_batches, reconstruct
from secateur.engine.recovery.protocol import Repair
from secateur.engine.recovery.results import MIXED
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.norm_nets import Turned
from tests.engine.toy_task import ToyTask


def _mlp(bias: bool = True) -> Any:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 12, bias=bias), nn.ReLU(), nn.Linear(12, 3, bias=bias)
    ).eval()


def _half(model: nn.Module, inputs: Any = None) -> tuple[Any, Any]:
    """The model with the second half of every set cut, and what it keeps."""
    inputs = inputs or ToyTask().example_inputs()
    with torch.no_grad():
        model(*inputs)
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    for one in analysis.sets:
        if one.kind != "block":
            mask[one.first + one.count // 2 : one.first + one.count] = True
    return cut(model, analysis, mask, inputs).model.eval(), analysis.kept_indices(mask)


def _repair(student: Any, model: Any, kept: Any, task: Any = None, how: Repair = Repair.LEAST_SQUARES) -> RepairResult:
    return finish(reconstruct(student, model, kept, task or ToyTask(), how)).sequential


def _images() -> Tensor:
    return torch.cat([images for images, _ in ToyTask().batches(Split.TRAIN, seed=0)])


def _error(student: nn.Module, model: nn.Module, split: Split = Split.TEST) -> float:
    with torch.no_grad():
        return sum(float((model(x) - student(x)).square().sum()) for x, _ in ToyTask().batches(split))


def _distances(change: Tensor, given: Tensor, missing: Tensor) -> list[float]:
    """How far a change [r, m] of a weight is from that of least squares with each ridge, the smallest first."""
    found: list[float] = []
    for ridge in RIDGES:  # as further samples
        size = ridge * float(given.square().mean()) * len(given)
        rows = torch.cat([given, size**0.5 * torch.eye(given.shape[1], dtype=torch.float64)])
        more = torch.zeros(given.shape[1], missing.shape[1], dtype=torch.float64)
        expected = torch.linalg.lstsq(rows, torch.cat([missing, more])).solution.T
        found.append(float((change - expected).abs().max()))
    return sorted(found)


def test_the_bias_takes_the_mean_of_what_is_missing() -> None:
    model = _mlp()
    student, kept = _half(model)
    plain = copy.deepcopy(student)
    done = finish(reconstruct(student, model, kept, ToyTask(), Repair.BIAS))
    assert done.sequential.repaired == ("3.weight", "5.weight") and done.independent is None
    with torch.no_grad():
        for place in (3, 5):
            left = len(plain[place].weight)
            missing = model[: place + 1](_images())[:, :left] - student[:place](_images()) @ plain[place].weight.T
            assert torch.allclose(student[place].bias, missing.mean(0), atol=1e-5)
            assert torch.equal(student[place].weight, plain[place].weight)


@pytest.mark.parametrize("bias", [True, False])
def test_least_squares_are_those_on_the_students_inputs_and_the_originals_outputs(bias: bool) -> None:
    model = _mlp(bias)
    student, kept = _half(model)
    plain = copy.deepcopy(student)[5].weight.detach().double()
    assert _repair(student, model, kept).repaired == ("3.weight", "5.weight")
    with torch.no_grad():
        given, wanted = student[:5](_images()).double(), model(_images()).double()
    missing = wanted - given @ plain.T
    if bias:
        given, missing = given - given.mean(0), missing - missing.mean(0)
    found = _distances(student[5].weight.detach().double() - plain, given, missing)
    assert found[0] < 1e-5 < found[1]
    if bias:
        rest = (wanted - student[:5](_images()).double() @ student[5].weight.double().T).mean(0)
        assert torch.allclose(student[5].bias.double(), rest, atol=1e-5)


def _normed(*more: nn.Module) -> Any:
    """A network with a norm between layers that lose inputs, with statistics of the task's images."""
    torch.manual_seed(1)
    layers = nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
    model = nn.Sequential(nn.Flatten(), *layers, *more)
    for _ in range(20):
        model(_images())
    return model.eval()


def test_later_layers_are_repaired_on_what_adjusted_norms_give() -> None:
    model = _normed()
    student, kept = _half(model)
    plain, before = copy.deepcopy(student)[6].weight.detach().double(), copy.deepcopy(student[4])
    task = ToyTask(256, 256)
    assert _repair(student, model, kept, task).repaired == ("3.weight", "6.weight")
    assert all(torch.equal(one, before.get_buffer(name)) for name, one in student[4].named_buffers())
    finish(adjust_batchnorm(student, model, kept, task))
    assert not torch.allclose(student[4].running_var, before.running_var, rtol=0.01)
    with torch.no_grad():
        given, wanted = student[:6](_images()).double(), model(_images()).double()
    missing = wanted - given @ plain.T
    given, missing = given - given.mean(0), missing - missing.mean(0)
    found = _distances(student[6].weight.detach().double() - plain, given, missing)
    assert found[0] < 1e-5 < found[1]


@pytest.mark.parametrize(("adjusts", "turned", "batch"), [(True, False, 64), (False, True, 64), (False, False, 4)])
def test_norms_are_adjusted_where_all_can_be_and_samples_are_enough(
    adjusts: bool, turned: bool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _normed(*((nn.Unflatten(1, (1, 3)), Turned(3)) if turned else ()))
    student, kept = _half(model)
    other, task = {name: value.clone() for name, value in student.state_dict().items()}, ToyTask(256, batch)
    monkeypatch.setattr(least_squares, "FORWARDS", 256)
    monkeypatch.setattr(least_squares, "JOINED", 1)
    assert len(_repair(student, model, kept, task).repaired) == 2
    found = {name: value.clone() for name, value in student.state_dict().items()}
    assert all(found[name].equal(other[name]) for name in found if "running" in name)
    student.load_state_dict(other)
    monkeypatch.setattr(least_squares, "ADJUSTED", 10**9)
    _repair(student, model, kept, task)
    assert torch.allclose(student[6].weight, found["6.weight"], rtol=1e-3) is not adjusts
    assert not any(one._forward_pre_hooks for each in (student, model) for one in each.modules())


class Spoilt(ToyTask):
    """The first image of each batch has no numbers."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """(images, labels)."""
        for images, labels in super().batches(split, seed):
            images[0] = math.nan
            yield images, labels


def test_a_sample_without_numbers_spoils_no_layer_behind_a_norm() -> None:
    model = _normed()
    student, kept = _half(model)
    assert _repair(student, model, kept, Spoilt()).repaired == ("3.weight", "6.weight")
    assert all(value.isfinite().all() for value in student.state_dict().values())


def test_the_independent_repair_is_on_the_originals_inputs() -> None:
    model = _mlp()
    student, kept = _half(model)
    plain = copy.deepcopy(student).double()
    done = finish(reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES)).independent
    assert done is not None and done.result.repaired == ("3.weight", "5.weight")
    independent = done.weights
    assert set(independent) == {"3.weight", "3.bias", "5.weight", "5.bias"}
    assert not torch.equal(independent["5.weight"], student[5].weight)
    with torch.no_grad():
        for place in (3, 5):
            layer = plain[place]
            given = model[:place](_images()).double()[:, : layer.in_features]  # the first half stays
            wanted = model[: place + 1](_images()).double()[:, : layer.out_features]
            means = given.mean(0), wanted.mean(0)
            missing = wanted - means[1] - (given - means[0]) @ layer.weight.T
            change = independent[f"{place}.weight"].double() - layer.weight
            found = _distances(change, given - means[0], missing)
            assert found[0] < 1e-5 < found[1]
            rest = means[1] - means[0] @ independent[f"{place}.weight"].double().T
            assert torch.allclose(independent[f"{place}.bias"].double(), rest, atol=1e-5)


def test_one_layer_alone_is_repaired_in_one_way() -> None:
    model = _around(nn.Conv2d(8, 6, 3, padding=1))[:2].append(nn.Flatten()).append(nn.LazyLinear(3)).eval()
    student, kept = _half(model)
    done = finish(reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES))
    assert len(done.sequential.repaired) == 1 and done.independent is None


class OwnConv(nn.Conv2d):
    """A subclass that pads by itself, as libraries have them."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, (1, 1, 1, 1)), self.weight, self.bias, self.stride)


class MatrixFirst(nn.Module):
    """A linear layer with its inputs first, as GPT-2 has it, over the channels of an image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nf = outputs
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.movedim(1, -1)
        return (
            torch.addmm(self.bias, rows.reshape(-1, rows.shape[-1]), self.weight)
            .view(*rows.shape[:-1], -1)
            .movedim(-1, 1)
        )


class Matmul(nn.Module):
    """A bare product with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 8) / 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("kc,nchw->nkhw", self.matrix, x)


def _around(layer: nn.Module) -> Any:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), layer, nn.Flatten(), nn.LazyLinear(3)).eval()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(8, 6, 3, 2, 1, dilation=2),
        lambda: OwnConv(8, 6, 3),
        lambda: nn.Conv2d(8, 6, 3, groups=2),
        lambda: nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
        lambda: nn.ConvTranspose2d(8, 6, 3, groups=2, bias=False),
        lambda: MatrixFirst(8, 6),
        Matmul,
    ],
)
def test_every_product_comes_as_near_as_any_weight_could(make: Any) -> None:
    """The best weight is found without unfolding: by the derivative of what the layer gives."""
    model = _around(make())
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    result = _repair(student, model, kept)
    assert len(result.repaired) == 2 and not result.left
    with torch.no_grad():
        given = student[:2](_images()[:64])
        wanted = model[:3](_images()[:64])
    layer = copy.deepcopy(student[2])
    dims = kept.get("2.weight", kept.get("2.matrix"))
    rows = dims[1 if isinstance(layer, (nn.ConvTranspose2d, MatrixFirst)) else 0]
    wanted = wanted[:, _left(layer, wanted.shape[1], rows)]
    parameters = {name: one.detach().double() for name, one in layer.named_parameters()}

    def outputs(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, values, (given.double(),))

    zero = {name: torch.zeros_like(one) for name, one in parameters.items()}
    slopes = torch.func.jacfwd(outputs)(zero)
    design = torch.cat([one.reshape(wanted.numel(), -1) for one in slopes.values()], 1)
    best = torch.linalg.lstsq(design, wanted.double().flatten()[:, None]).solution
    least = float((design @ best - wanted.double().flatten()[:, None]).square().sum())
    error = float((outputs(parameters) - wanted).square().sum())
    with torch.no_grad():
        before = float((plain[2].double()(plain[:2](_images()[:64]).double()) - wanted).square().sum())
    assert error < 1.05 * least + 1e-6 and error < before


def _left(layer: Any, outputs: int, rows: Any) -> Any:
    groups = getattr(layer, "groups", 1)
    if isinstance(layer, nn.ConvTranspose2d) and groups > 1:  # rows are those of a group
        rows = rows if rows is not None else range(outputs // groups)
        return [g * (outputs // groups) + int(r) for g in range(groups) for r in rows]
    return list(range(outputs)) if rows is None else [int(r) for r in rows]


def test_a_subclass_is_repaired_exactly_as_the_layer_that_it_is() -> None:
    plain, own = _around(nn.Conv2d(8, 6, 3, padding=1)), _around(OwnConv(8, 6, 3))
    plain(_images()[:2])
    own(_images()[:2])
    own.load_state_dict(plain.state_dict())
    students: list[Any] = []
    for model in (plain, own):
        student, kept = _half(model)
        assert len(_repair(student, model, kept).repaired) == 2
        students.append(student)
    assert all(map(torch.equal, students[0].state_dict().values(), students[1].state_dict().values()))


def test_the_outputs_come_nearer_to_the_original() -> None:
    model = _around(nn.Conv2d(8, 6, 3, 2, 1))
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    _repair(student, model, kept)
    assert _error(student, model) < 0.5 * _error(plain, model)


class Attending(nn.Module):
    """Rows of an image attend to each other, or with `two` to what another layer makes of them."""

    def __init__(self, two: bool, batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.put, self.other = nn.Linear(8, 16), nn.Linear(8, 16) if two else None
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)
        nn.init.normal_(self.attention.in_proj_bias)
        nn.init.normal_(self.attention.out_proj.bias)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)
        queries = self._turned(self.put(rows).sin())
        keys = queries if self.other is None else self._turned(self.other(rows).sin())
        return self.head(self._turned(queries + self.attention(queries, keys, keys, need_weights=False)[0]).mean(1))

    def _turned(self, rows: Tensor) -> Tensor:
        return rows if self.attention.batch_first else rows.transpose(0, 1).contiguous()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("two", [False, True])
def test_attention_is_repaired_in_all_its_parts_wherever_torch_adds_the_bias(two: bool, batch_first: bool) -> None:
    """Inputs that torch turns get their bias behind the product; two inputs read parts of one weight and one bias."""
    model = Attending(two, batch_first).eval()
    student, kept = _half(model)
    plain = copy.deepcopy(student.attention)
    result = _repair(student, model, kept)
    assert "attention.in_proj_weight" in result.repaired and not result.left
    rows, left = (torch.from_numpy(one) for one in kept["attention.in_proj_weight"])
    with torch.no_grad():
        queries = model.put(_images().flatten(1, 2)).flatten(0, 1).sin()
        keys = queries if model.other is None else model.other(_images().flatten(1, 2)).flatten(0, 1).sin()
    whole, bias = model.attention.in_proj_weight.detach().double(), model.attention.in_proj_bias.detach().double()
    for inputs, part in ((queries, rows < 16), (keys, rows >= 16)):
        wanted = inputs.double() @ whole[rows[part]].T + bias[rows[part]]
        given = inputs[:, left].double()
        missing = wanted - given @ plain.in_proj_weight.detach().double()[part].T
        centred = given - given.mean(0)
        change = (student.attention.in_proj_weight - plain.in_proj_weight).detach().double()[part]
        found = _distances(change, centred, missing - missing.mean(0))
        assert found[0] < 1e-4 < found[1]
        rest = (wanted - given @ student.attention.in_proj_weight.detach().double()[part].T).mean(0)
        assert torch.allclose(student.attention.in_proj_bias.detach().double()[part], rest, atol=1e-5)


class SharedBias(nn.Module):
    """Two layers of other inputs add one bias, or the second one a part of that of the first."""

    def __init__(self, part: int = 0) -> None:
        """Random weights; the second one adds all but so many numbers of the bias."""
        super().__init__()
        torch.manual_seed(3)
        self.left, self.right = nn.Linear(64, 16), nn.Linear(64, 16)
        self.first, self.second, self.part = nn.Linear(16, 6), nn.Linear(16, 6 - part, bias=False), part

    def forward(self, x: Tensor) -> Tensor:
        """[N, 12 - part] logits."""
        x = x.flatten(1)
        bias = self.first.bias[self.part :]
        return torch.cat([self.first(self.left(x).relu()), self._second(self.right(x).sigmoid(), bias)], 1)

    def _second(self, rows: Tensor, bias: Tensor) -> Tensor:
        return F.linear(rows, self.second.weight, bias)


class OneBias(nn.Module):
    """Two experts in one stack add one bias."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        torch.manual_seed(3)
        self.given, self.bias = nn.Linear(64, 16), nn.Parameter(torch.randn(3))
        self.experts = nn.Parameter(torch.randn(2, 16, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[N, 6] logits."""
        rows = self.given(x.flatten(1)).relu()
        return torch.cat([torch.addmm(self.bias, rows, one) for one in self.experts], 1)


@pytest.mark.parametrize("make", [SharedBias, lambda: SharedBias(2), OneBias])
def test_a_bias_that_two_products_add_stays(make: Any) -> None:
    """What one of them misses in the mean, the other does not."""
    model = make().eval()
    student, kept = _half(model)
    plain = copy.deepcopy(student)
    result = _repair(student, model, kept)
    assert set(result.repaired) == ({"experts"} if make is OneBias else {"first.weight", "second.weight"})
    shared = {name for name in dict(model.named_parameters()) if name in ("bias", "first.bias")}
    assert shared and all(torch.equal(student.get_parameter(one), model.get_parameter(one)) for one in shared)
    assert _error(student, model) < _error(plain, model)


def test_one_number_that_all_outputs_add_is_no_bias() -> None:
    model = _mlp()
    model[5].bias = nn.Parameter(torch.ones(1))
    student, kept = _half(model)
    plain = copy.deepcopy(student)
    result = _repair(student, model, kept)
    assert "5.weight" in result.repaired and torch.equal(student[5].bias, model[5].bias)
    assert _error(student, model) < _error(plain, model)


def test_rows_of_other_samples_are_not_taken_for_the_same() -> None:
    """A cut attention goes through samples and tokens in another order than torch's, whatever lies first."""
    weights: list[Tensor] = []
    for batch_first in (True, False):
        model = Attending(two=False, batch_first=batch_first).eval()
        student, kept = _half(model)
        plain = float(student.attention.out_proj.weight.norm())
        _repair(student, model, kept)
        weights.append(student.attention.out_proj.weight.detach())
        assert float(weights[-1].norm()) > 0.5 * plain  # of rows that have nothing to do with each other, nothing stays
    assert torch.allclose(weights[0], weights[1], atol=1e-3)


class SingleFirst(ToyTask):
    """Two batches of one sample before those of many: torch adds attention's bias within the product there alone."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = (torch.cat(some) for some in zip(*super().batches(split, seed), strict=True))
        for first, last in ((0, 1), (1, 2), (2, 129), (129, 256)):
            yield images[first:last], labels[first:last]


def test_a_bias_counts_once_in_whichever_batch_it_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "JOINED", 1)
    model = Attending(two=False, batch_first=True).eval()
    found: list[Tensor] = []
    for task in (ToyTask(), SingleFirst()):
        student, kept = _half(model)
        _repair(student, model, kept, task)
        found.append(student.attention.in_proj_bias.detach())
    assert torch.allclose(found[0], found[1], atol=0.1)


class Adding(nn.Module):
    """A product to which something is added that is no bias of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.how, self.put, self.head = how, nn.Linear(64, 16), nn.Linear(12, 3)
        self.weight, self.bias = nn.Parameter(torch.randn(2, 12, 16) / 4), nn.Parameter(torch.randn(2, 12))
        self.late = nn.Parameter(torch.randn(12))

    def products(self, x: Tensor) -> list[Tensor]:
        """Of the two parts of the weight."""
        rows = self.put(x.flatten(1)).sin()
        if self.how == "stacked":
            return [F.linear(rows, self.weight[n], self.bias[n]) for n in range(2)]
        if self.how == "derived":
            return [F.linear(rows, self.weight[n], self.late * 0.01) for n in range(2)]
        if self.how == "scaled":
            return [torch.addmm(self.late, rows, self.weight[n].T, beta=0.1, alpha=2.0) for n in range(2)]
        if self.how == "once":
            return [F.linear(rows, self.weight[0], self.late), F.linear(rows, self.weight[1])]
        return list(torch.baddbmm(self.late, torch.stack([rows, rows.cos()]), self.weight.mT))  # shared

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.products(x)
        return self.head(first.sin() + second.cos() + self.bias[0])


@pytest.mark.parametrize("how", ["stacked", "derived", "scaled", "once", "shared"])
@pytest.mark.parametrize("repair", [Repair.BIAS, Repair.LEAST_SQUARES])
def test_what_is_added_to_a_product_is_not_taken_for_its_bias(how: str, repair: Repair) -> None:
    model = Adding(how).eval()
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    _repair(student, model, kept, how=repair)
    rows = kept["weight"][1]
    with torch.no_grad():
        for number, wanted in enumerate(model.products(_images())):
            wanted = wanted if rows is None else wanted[:, rows]
            errors = [float((one.products(_images())[number] - wanted).square().mean()) for one in (plain, student)]
            assert errors[1] <= (1.001 if repair is Repair.BIAS else 0.9) * errors[0]


class Stacked(nn.Module):
    """Experts in one stack, of which a loop reads those that somebody asks; the corner of an image says which."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, 3)
        self.up, self.down = nn.Parameter(torch.randn(3, 12, 8) / 3), nn.Parameter(torch.randn(3, 8, 12) / 3)

    def forward(self, x: Tensor) -> Tensor:
        rows, which = self.first(x.flatten(1)), x[:, 0, 7, 7].round().long() % 3
        result = torch.zeros_like(rows)
        for expert in range(3):
            mine = torch.nonzero(which == expert).flatten()
            if len(mine):
                hidden = F.linear(rows[mine], self.up[expert]).relu()
                result = result.index_add(0, mine, F.linear(hidden, self.down[expert]))
        return self.head(result)


class Asking(ToyTask):
    """Each batch asks two experts of three, never the same two in a row."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        for number, (images, labels) in enumerate(super().batches(split, seed)):
            marked = images.clone()
            marked[:, 0, 7, 7] = (torch.arange(len(images)) % 2 + number) % 3
            yield marked, labels


def test_experts_that_a_loop_reads_are_not_taken_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "JOINED", 1)
    model = Stacked().eval()
    images = torch.cat([images for images, _ in Asking().batches(Split.TRAIN, seed=0)])
    plain, kept = _half(model, (images[:9],))
    student = copy.deepcopy(plain)
    result = _repair(student, model, kept, Asking())
    assert {"up", "down"} <= set(result.repaired) and not result.left
    _, rows, left = (None if one is None else torch.from_numpy(one) for one in kept["down"])
    assert rows is not None and left is not None
    for expert in range(3):
        own = images[images[:, 0, 7, 7].long() == expert]
        hidden = F.linear(model.first(own.flatten(1)), model.up[expert]).relu().detach().double()
        given, before = hidden[:, left], plain.down[expert].detach().double()
        missing = hidden @ model.down[expert].detach().double()[rows].T - given @ before.T
        found = _distances(student.down[expert].detach().double() - before, given, missing)
        assert found[0] < 1e-5 < found[1]


class Experts(nn.Module):
    """Four experts, each token to one of them by its sign pattern; the last is never asked."""

    def __init__(self, asked: int = 3) -> None:
        super().__init__()
        self.asked = asked
        self.first = nn.Linear(8, 8)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)) for _ in range(4))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.first(x.flatten(0, 2))
        which = (rows[:, 0].abs() * 7).long() % self.asked
        result = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            mine = torch.nonzero(which == number).flatten()
            if len(mine):
                result = result.index_add(0, mine, expert(rows[mine]))
        return self.head(result.view(len(x), -1, 8).mean(1))


def test_experts_are_repaired_and_one_that_nothing_reaches_is_named() -> None:
    torch.manual_seed(0)
    everywhere, model = Experts(4).eval(), Experts(3).eval()
    model.load_state_dict(everywhere.state_dict())
    inputs = (torch.randn(64, 1, 8, 8),)
    analysis = analyse(everywhere, inputs)
    mask = analysis.empty()
    for one in analysis.sets:
        if ".0.weight" in one.name and one.dim == 0:
            mask[one.first + 6 : one.first + 12] = True
    student: Any = cut(everywhere, analysis, mask, inputs).model.eval()
    student.asked = 3
    plain, kept = copy.deepcopy(student), analysis.kept_indices(mask)
    result = _repair(student, model, kept)
    assert set(result.repaired) == {f"experts.{n}.2.weight" for n in range(3)}
    assert [name for name, _ in result.left] == ["experts.3.2.weight"]
    assert [one.code for one in result.messages] == ["repair.done", "repair.left"]
    assert str(result.messages[0]) == "3 of 4 layers that lost inputs were repaired."
    assert "experts.3.2. No calibration sample reached it." in str(result.messages[1])
    assert torch.equal(student.experts[3][2].weight, plain.experts[3][2].weight)
    assert _error(student, model) < _error(plain, model)


class Recurrent(nn.Module):
    """Rows of an image as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x[:, 0])[0].mean(1))


def test_recurrent_weights_are_repaired() -> None:
    torch.manual_seed(0)
    model = Recurrent().eval()
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    result = _repair(student, model, kept)
    assert set(result.repaired) == {"rnn.weight_hh_l0", "head.weight"} and not result.left
    assert _error(student, model) < _error(plain, model)


class Repeated(nn.Module):
    """A layer that runs twice, and one whose weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 12)
        self.again = nn.Linear(12, 12)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(12, 8))
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        x = self.again(self.again(x).relu()).relu()
        return self.last(self.normed(x).relu())


def test_a_layer_that_runs_twice_is_repaired_and_a_computed_weight_is_named() -> None:
    torch.manual_seed(0)
    model = Repeated().eval()
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    result = _repair(student, model, kept)
    assert set(result.repaired) == {"again.weight", "last.weight"}
    assert [(name, why.code) for name, why in result.left] == [
        ("normed.parametrizations.weight.original1", "repair.derived")
    ]
    assert _error(student, model) < _error(plain, model)


class TurnedBack(nn.Module):
    """A decoder reads the encoder's kernel the other way round: what is best for one is not for the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.into, self.out = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 2, 3)
        self.kernel = nn.Parameter(torch.randn(10, 6, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.conv_transpose2d(F.conv2d(self.into(x), self.kernel).relu(), self.kernel)).mean((2, 3))


def test_a_weight_that_is_read_in_two_ways_is_named_and_stays() -> None:
    model = TurnedBack().eval()
    student, kept = _half(model)
    plain = student.kernel.detach().clone()
    result = _repair(student, model, kept)
    assert result.repaired == ("out.weight",) and result.left == (("kernel", MIXED),)
    assert torch.equal(student.kernel, plain)


def test_a_layer_that_was_trained_since_the_cut_is_left_alone() -> None:
    model = _mlp()
    student, kept = _half(model)
    with torch.no_grad():
        student[3].weight += 0.1 * torch.randn_like(student[3].weight)
    before = student[3].weight.clone()
    result = _repair(student, model, kept)
    assert [(name, why.code) for name, why in result.left] == [("3.weight", "repair.trained")]
    assert torch.equal(student[3].weight, before)


def test_rows_that_were_multiplied_stay_so() -> None:
    model = _mlp()
    once, kept = _half(model)
    twice, _ = _half(model)
    with torch.no_grad():
        twice[5].weight[1] *= 2
        twice[5].bias[1] *= 2
    for one in (once, twice):
        _repair(one, model, kept)
    assert torch.allclose(twice[5].weight[1], 2 * once[5].weight[1], atol=1e-4)
    assert torch.allclose(twice[5].bias[1], 2 * once[5].bias[1], atol=1e-4)


class Placed(nn.Module):
    """Patches with an embedding of their places, which is read at the numbers in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(1, 8, 4, 4), nn.Embedding(4, 8)
        self.head = nn.Linear(8, 3)
        self.register_buffer("places", torch.arange(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.patch(x).flatten(2).mT + self.place(self.places)).relu().mean(1))


def test_an_embedding_that_became_narrower_has_not_lost_inputs() -> None:
    torch.manual_seed(0)
    model = Placed().eval()
    student, kept = _half(model)
    assert kept["place.weight"][1] is not None
    result = _repair(student, model, kept)
    assert result.repaired == ("head.weight",) and not result.left


class Constant(ToyTask):
    """Data of one number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in super().batches(split, seed):
            yield torch.full_like(images, self.value), labels


def test_constant_data_leave_the_plain_weight_and_mend_the_bias() -> None:
    model = _mlp()
    student, kept = _half(model)
    plain = copy.deepcopy(student)
    _repair(student, model, kept, Constant(0.5))
    assert torch.allclose(student[3].weight, plain[3].weight, atol=1e-4)
    with torch.no_grad():
        given = torch.full((1, 1, 8, 8), 0.5)
        assert torch.allclose(student(given), model(given), atol=1e-4)


def test_data_without_numbers_leave_everything_as_it_was_cut() -> None:
    model = _mlp()
    student, kept = _half(model)
    before = [one.clone() for one in student.state_dict().values()]
    result = _repair(student, model, kept, Constant(math.nan))
    assert not result.repaired and {why.code for _, why in result.left} == {"repair.no_numbers"}
    assert all(map(torch.equal, before, student.state_dict().values()))


def test_batches_of_two_rows_are_data_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "JOINED", 1)
    model = _mlp()
    student, kept = _half(model)
    assert _repair(student, model, kept, ToyTask(64, batch=2)).repaired == ("3.weight", "5.weight")


def test_fewer_samples_than_inputs_do_no_harm() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 3)).eval()
    plain, kept = _half(model)
    student = copy.deepcopy(plain)
    _repair(student, model, kept, ToyTask(24, 8))
    assert _error(student, model) <= _error(plain, model)


def test_half_precision_is_repaired_in_its_own_type() -> None:
    model = _mlp()
    student, kept = _half(model)
    model, student = model.bfloat16(), student.bfloat16()
    plain = copy.deepcopy(student)
    task = _Rounded()
    assert len(_repair(student, model, kept, task).repaired) == 2
    assert student[5].weight.dtype == torch.bfloat16

    def error(one: nn.Module) -> float:
        with torch.no_grad():
            return sum(float((model(x) - one(x)).float().square().sum()) for x, _ in task.batches(Split.TEST))

    assert error(student) < 0.7 * error(plain)


class _Rounded(ToyTask):
    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in super().batches(split, seed):
            yield images.bfloat16(), labels


def test_little_memory_takes_more_passes_and_gives_as_good_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).eval()
    plain, kept = _half(model)
    students = [copy.deepcopy(plain), copy.deepcopy(plain)]
    tasks = [ToyTask(), ToyTask()]
    _repair(students[0], model, kept, tasks[0])
    monkeypatch.setattr(least_squares, "MEMORY", 200_000)
    assert len(_repair(students[1], model, kept, tasks[1]).repaired) == 2
    assert _error(students[1], model) < 1.5 * _error(students[0], model) < 0.7 * _error(plain, model)


def test_wide_layers_are_repaired_alike_from_rows_in_parts_and_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 3)).eval()
    plain, kept = _half(model)
    students = [copy.deepcopy(plain), copy.deepcopy(plain)]
    _repair(students[0], model, kept)
    monkeypatch.setattr(consumers, "WIDE", 8)
    monkeypatch.setattr(consumers, "AT_ONCE", 1)  # as many rows at a time as are needed to see whether they fit
    assert len(_repair(students[1], model, kept).repaired) == 2
    for name, one in students[0].state_dict().items():
        assert torch.allclose(students[1].state_dict()[name], one, rtol=1e-4, atol=1e-5), name
    assert not torch.allclose(students[0][2].weight, plain[2].weight, rtol=1e-2)


def test_the_rows_of_a_wide_layer_are_bounded_by_the_work_of_their_products() -> None:
    assert [enough_rows(inputs) for inputs in (0, 64, 2048)] == [8192, 8192, 16 * 2048]
    for inputs in (4096, 8192):
        rows = enough_rows(inputs)
        assert 4 * inputs <= rows < 16 * inputs
        assert rows == 4 * inputs or rows * inputs**2 <= least_squares.PRODUCTS


class _Restless(ToyTask):
    """Data that are others in each pass, and fewer than was said."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        if split is not Split.TRAIN:
            yield from super().batches(split, seed)
            return
        for images, labels in islice(super().batches(split, seed), 6):
            yield images + 0.1 * torch.randn_like(images), labels


def test_data_that_change_between_passes_are_those_of_one_pass_for_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "MEMORY", 1)  # as many passes over the batches as there are layers
    model = _mlp()
    plain, kept = _half(model)
    student, task = copy.deepcopy(plain), _Restless()
    assert len(_repair(student, model, kept, task).repaired) == 2
    assert task.served == 6 and _error(student, model) < 0.8 * _error(plain, model)


def test_batches_of_one_shape_are_joined_and_others_stay() -> None:
    texts = [{"ids": torch.full((2, length), length), "mask": torch.ones(2, length)} for length in (3, 5, 3, 3)]
    joined = join_batches(texts, 2)
    assert [tuple(dict(one)["ids"].shape) for one in joined] == [(4, 3), (2, 3), (2, 5)]


def test_a_cancel_leaves_both_models_as_they_were() -> None:
    model, token = _mlp().train(), threading.Event()
    student, kept = _half(model)
    model.train()
    before = [value.clone() for value in (*student.state_dict().values(), *model.state_dict().values())]
    job = reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES, token)
    while next(job).done < 1:
        pass
    assert not torch.equal(student[3].weight, before[2])
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    after = [*student.state_dict().values(), *model.state_dict().values()]
    assert all(map(torch.equal, before, after)) and model.training
    assert not any(thread.name == "secateur-forward" for thread in threading.enumerate())


def test_without_data_nothing_is_repaired() -> None:
    model = _mlp()
    student, kept = _half(model)
    assert not _repair(student, model, kept, ToyTask(0)).repaired


def test_no_more_batches_are_held_than_some_layer_needs_or_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = _around(nn.Conv2d(8, 6, 3, padding=1)), ToyTask(4128, batch=32)
    student, kept = _half(model)
    assert _repair(student, model, kept, task).repaired
    assert task.served == 128  # the head needs 8,192 rows: all that may be looked at
    monkeypatch.setattr(least_squares, "FEWEST", 1000)
    student, task.served = _half(model)[0], 0
    _repair(student, model, kept, task)
    assert task.served == 16 * 192 // 32  # the head has 192 inputs left, each with 16 rows


def test_a_classifier_alone_has_a_tighter_bound_on_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = _around(nn.Conv2d(8, 6, 3, padding=1)), ToyTask(4128, batch=32)
    student, kept = _half(model)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(32, 1, 8, 8))
    monkeypatch.setattr(least_squares, "SINGLE", 2.5 * counted.get_total_flops())  # five batches
    assert _repair(student, model, kept, task).repaired
    assert task.served == 5
    monkeypatch.setattr(least_squares, "FEWEST", 7 * 32 * 64)  # seven batches of images of 8 x 8
    student, task.served = _half(model)[0], 0
    _repair(student, model, kept, task)
    assert task.served == 7


def test_a_layer_that_a_loop_reads_is_no_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(32, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.second(self.first(row).relu()) for row in x[:, 0].unbind(1)], 1))

    model, task = Steps().eval(), ToyTask(192, batch=32)
    student, kept = _half(model)
    monkeypatch.setattr(least_squares, "SINGLE", 1)
    assert _repair(student, model, kept, task).repaired
    assert task.served == 6  # all, for `second`; the head alone would have got two


def test_batches_that_take_much_memory_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = _around(nn.Conv2d(8, 6, 3, padding=1)), ToyTask(2048, batch=4)
    student, kept = _half(model)
    monkeypatch.setattr(least_squares, "MEMORY", 40 * 4 * 64 * 4)  # of inputs of 4 images
    _repair(student, model, kept, task)
    assert task.served == 40
    assert [batch_size(one) for one in join_batches([(torch.zeros(4, 1),)] * 40, 4)] == [32] * 5


@pytest.mark.parametrize("fit", [1, 2])
def test_no_more_batches_are_joined_than_fit_into_memory(fit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.Conv2d(1, 64, 1), nn.ReLU(), nn.MaxPool2d(8), nn.Flatten(), nn.Linear(64, 3)
    model, task = nn.Sequential(*layers).eval(), ToyTask(256, batch=4)
    student, kept = _half(model)
    sizes: list[int] = []
    monkeypatch.setattr(least_squares, "MEMORY", fit * 4 * (4 * 2 * 64 * 64) + 1)  # before and behind the ReLU
    student[1].register_forward_pre_hook(lambda _module, given: sizes.append(len(given[0])))
    assert _repair(student, model, kept, task).repaired
    assert max(sizes) == fit * 4

"""A step of training: gradients, buffers and results of the cut model are those of the masked original."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import GRADIENTS, TRAINING, Check, Verification
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify import verify as module
from secateur.engine.surgery.verify.run_comparison import step_between
from secateur.engine.surgery.verify.training import PresentStatistics, sample_present
from secateur.engine.surgery.verify.verify import verify

ROWS = (torch.randn(3, 4, 6),)
IMAGES = (torch.randn(3, 3, 8, 8),)


class Rows(nn.Module):
    """Between two layers something that takes statistics over the features that are cut."""

    def __init__(self, inner: Callable[[torch.Tensor, Any], Any]) -> None:
        super().__init__()
        self.first, self.last, self.inner = nn.Linear(6, 8), nn.Linear(8, 5), inner
        self.weight, self.bias = nn.Parameter(torch.rand(8) + 0.5), nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inner(self.first(x) * self.weight + self.bias, self))


def images(*inner: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *inner, nn.ReLU(), nn.Conv2d(8, 4, 3))


class OwnNorm(torch.autograd.Function):
    """A layer norm with a derivative of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rate = (x.var(-1, keepdim=True, unbiased=False) + 1e-5).rsqrt()
        normal = (x - x.mean(-1, keepdim=True)) * rate
        ctx.save_for_backward(normal, rate, weight)
        return normal * weight

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normal, rate, weight = ctx.saved_tensors
        each = gradients[0] * weight
        less = each.mean(-1, keepdim=True) + normal * (each * normal).mean(-1, keepdim=True)
        return (each - less) * rate, (gradients[0] * normal).sum((0, 1))


class Scaled(torch.autograd.Function):
    """The identity, of which each feature's gradient is multiplied with a number of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(rates)
        return x + 0 * rates

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.saved_tensors[0], None


def spread(h: torch.Tensor, _: nn.Module) -> torch.Tensor:
    variance, mean = torch.var_mean(h, -1, keepdim=True)
    return (h - mean) / (variance + 1)


OPERATORS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "layer norm": (lambda: Rows(lambda h, m: functional.layer_norm(h, h.shape[-1:], m.weight, m.bias)), ROWS),
    "rms norm": (lambda: Rows(lambda h, m: functional.rms_norm(h, h.shape[-1:], m.weight)), ROWS),
    "sum": (lambda: Rows(lambda h, m: h + (h.amax(-1, True) + m.bias).relu().sum(-1, keepdim=True)), ROWS),
    "mean and deviation": (lambda: Rows(lambda h, _: h.mean(-1, True) * h / (h.std(-1, keepdim=True) + 1)), ROWS),
    "variance": (lambda: Rows(spread), ROWS),
    "softmax": (lambda: Rows(lambda h, _: h.softmax(-1) + h.log_softmax(-1)), ROWS),
    "largest": (lambda: Rows(lambda h, _: h - h.amax(-1, keepdim=True) + torch.logsumexp(h, -1, True)), ROWS),
    "loss": (lambda: Rows(lambda h, m: h + functional.mse_loss(h.detach(), h * m.weight)), ROWS),
    "own derivative": (lambda: Rows(lambda h, m: OwnNorm.apply(h, m.weight)), ROWS),
    "batch norm": (lambda: images(nn.BatchNorm2d(8)), IMAGES),
    "group norm": (lambda: images(nn.GroupNorm(1, 8)), IMAGES),
    "groups": (lambda: images(nn.Conv2d(8, 8, 3, groups=2), nn.ConvTranspose2d(8, 8, 3), nn.MaxPool2d(2)), IMAGES),
    "weight norm": (lambda: images(nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3))), IMAGES),
    "spectral norm": (lambda: images(nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 3))), IMAGES),
    "bfloat16": (lambda: images(nn.BatchNorm2d(8)).bfloat16(), (IMAGES[0].bfloat16(),)),
}


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_are_those_of_the_masked_original(name: str, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large model is compared in single precision, on weights that operators are handed."""
    make, inputs = OPERATORS[name]
    if not small:
        monkeypatch.setattr(module, "SMALL", 0)
    result = verified(make().eval(), inputs)
    made = check_of(result, GRADIENTS)
    assert result.passed and made is not None and made.difference < (1e-8 if small else 1e-4)
    assert not [one for one in result.skipped if "gradients" in str(one) or "training" in str(one)]


@pytest.mark.parametrize("name", ["sum", "mean and deviation", "variance", "rms norm", "loss"])
def test_statistics_of_the_masked_original_need_derivatives_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PresentStatistics, "__torch_function__", lambda _, f, __, args=(), kwargs=None: f(*args, **kwargs or {})
    )
    make, inputs = OPERATORS[name]
    result = verified(make().eval(), inputs)
    made = check_of(result, GRADIENTS)
    assert made is None or not made.passed


class Averaged(nn.Module):
    """Training keeps averages, has a branch of its own, and a derivative that somebody wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.extra, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.register_buffer("average", torch.randn(8))
        self.register_buffer("rates", torch.rand(8) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = Scaled.apply(self.first(x), self.rates)
        if self.training:
            self.average = self.average * 0.9 + h.detach().mean((0, 1)) * 0.1
            h = h + self.extra(h).relu()
        return self.last(h)


def roll(tensor: torch.Tensor, dim: int) -> None:
    tensor.data.copy_(tensor.data.roll(1, dim))


@pytest.mark.parametrize(
    ("fault", "name", "where"),
    [
        (lambda m: roll(m.average, 0), TRAINING, "average"),
        (lambda m: roll(m.rates, 0), GRADIENTS, "first"),
        (lambda m: roll(m.extra.weight, 1), TRAINING, "extra"),
        (lambda m: setattr(m, "rates", torch.ones(8)), TRAINING, ""),
        (lambda m: m.last.weight.requires_grad_(False), GRADIENTS, "last.weight"),
    ],
)
def test_a_fault_that_only_training_shows_fails_the_cut(
    fault: Callable[[nn.Module], object], name: str, where: str
) -> None:
    assert verified(Averaged().eval(), ROWS).passed
    result = verified(Averaged().eval(), ROWS, fault)
    made = check_of(result, name)
    assert not result.passed and made is not None and not made.passed and where in str(made.detail)


class NeedsTargets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        if self.training and targets is None:
            raise ValueError("targets should not be None in training")
        return self.last(self.first(x).relu())


def test_a_model_that_does_not_train_on_these_inputs_says_why() -> None:
    result = verified(NeedsTargets().eval(), ROWS)
    assert result.passed and check_of(result, TRAINING) is None
    assert any("targets should not be None in training" in str(one) for one in result.skipped)


def test_an_operator_of_the_backward_without_a_rule_is_no_failure() -> None:
    result = verified(Rows(lambda h, _: h * h.prod(-1, keepdim=True)).eval(), ROWS)
    assert result.passed and check_of(result, TRAINING) is not None and check_of(result, GRADIENTS) is None
    assert any("aten.cumprod" in str(one) for one in result.skipped)


def test_the_step_leaves_both_models_as_they_were() -> None:
    model = Averaged().eval()
    analysis = analyse(model, ROWS)
    mask = trial_mask(analysis)
    smaller = cut(model, analysis, mask, ROWS).model
    before = [{name: one.clone() for name, one in both.state_dict().items()} for both in (model, smaller)]
    assert finish(verify(model, smaller, analysis, mask, ROWS)).passed
    for both, kept in zip((model, smaller), before, strict=True):
        assert all(torch.equal(one, kept[name]) for name, one in both.state_dict().items())
        assert all(one.grad is None for one in both.parameters()) and not both.training


def verified(model: nn.Module, inputs: Any, fault: Callable[[nn.Module], object] | None = None) -> Verification:
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    if fault is not None:
        fault(made.model)
    return finish(verify(model, made.model, analysis, mask, inputs, factors=made.factors))


def check_of(result: Verification, name: str) -> Check | None:
    return next((one for one in result.checks if one.name == name), None)


def test_a_table_whose_gradient_is_zero_throughout_is_compared() -> None:
    """As behind a head of zeros, with which some networks begin."""

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.last = nn.Parameter(torch.randn(1, 900, 8)), nn.Linear(8, 5)
            nn.init.zeros_(self.last.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(functional.layer_norm(x.mean((1, 2))[:, None, None] + self.table, (8,)))

    torch.manual_seed(0)
    model = Positions().eval()
    analysis = analyse(model, ROWS)
    mask = analysis.empty()
    mask[0] = True  # the column of the table by which its rows would be chosen
    result = finish(verify(model, cut(model, analysis, mask, ROWS).model, analysis, mask, ROWS))
    assert result.passed and any(one.name == GRADIENTS for one in result.checks)


def test_a_gradient_of_more_entries_than_a_large_vocabulary_has_is_sampled() -> None:
    table = torch.ones(66_000, 1024, dtype=torch.bool)
    found = sample_present(table, {1: np.arange(0, 1024, 2)})
    assert found.shape == (66_000, 512) and 3 * 1024 < len(found.values) <= 1 << 12


def test_sampled_entries_lie_a_prime_apart() -> None:
    for count in (4097, 1 << 20, 131_334_144, 1 << 36):
        step = step_between(count)
        assert step * 4096 >= count and all(step % divisor for divisor in range(2, min(step, 5000)))

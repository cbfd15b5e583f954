"""What a verification compares and on which weights: complex and infinite numbers, half precision, odd weights."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from secateur.engine.errors import VerificationError
from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import replace
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify import random_weights
from secateur.engine.surgery.verify.input_variants import other_sizes, perturb, rescale, with_batch
from secateur.engine.surgery.verify.masked_model import gone_slices, with_nan
from secateur.engine.surgery.verify.random_weights import LEVELS, randomise
from secateur.engine.surgery.verify.run_comparison import (
    ComparedRun,
    RunTrace,
    TraceComparison,
    is_chaotic,
    worst_difference,
)
from secateur.engine.surgery.verify.verify import require_verified, verify
from secateur.engine.surgery.verify.weights import Weights
from secateur.engine.tracing.tree import tensors_of
from tests.engine.nets import Residual, TorchAttention, Transformer, image, rows, tokens
from tests.engine.structures.rules.proof import verify_removal
from tests.engine.surgery.verify.test_verification import exchange_one


class Turned(nn.Module):
    """Pairs of features as complex numbers, turned by a complex buffer and scaled by a complex parameter."""

    turn: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.real, self.imaginary, self.head = nn.Linear(9, 16), nn.Linear(9, 16), nn.Linear(16, 4)
        self.scale = nn.Parameter(torch.randn(16, dtype=torch.complex64))
        self.register_buffer("turn", torch.polar(torch.ones(16), torch.linspace(0, 3, 16)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.complex(self.real(x), self.imaginary(x)) * self.turn * self.scale
        answer = self.head(z.abs())
        return torch.complex(answer, -answer)


class Logarithm(nn.Module):
    """Takes the logarithm of a parameter: weights drawn around zero give NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 16), nn.Linear(16, 16), nn.Linear(16, 5)
        self.rate = nn.Parameter(torch.rand(16) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)) * torch.log(self.rate))))


class Answers(nn.Module):
    """Its answer passes through a function."""

    def __init__(self, function: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.first, self.head, self.function = nn.Linear(9, 16), nn.Linear(16, 5), function

    def forward(self, x: torch.Tensor) -> object:
        return self.function(self.head(F.gelu(self.first(x))))


@dataclass
class Held:
    """A result of a class of the user's own."""

    scores: torch.Tensor
    more: list[dict[str, torch.Tensor]]


def trial(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[Analysis, Mask, nn.Module]:
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    return analysis, mask, cut(model, analysis, mask, inputs).model


def verified(
    model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, inputs: tuple[torch.Tensor, ...]
) -> Verification:
    return finish(verify(model, smaller, analysis, mask, inputs))


def spoiled(model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask) -> None:
    one = next(s for s in analysis.sets if s.kind is not Kind.BLOCK)
    exchange_one(model, smaller, analysis, mask, one.touches[0])


@pytest.mark.parametrize("function", [
    torch.tanh, lambda y: {"scores": y, "flags": y > 0}, lambda y: Held(y, [{"double": 2 * y}]), lambda y: [y, [y[0]]],
    lambda y: torch.where(torch.arange(5) == 2, -torch.inf, y), lambda y: y.argsort(-1), lambda y: (y, None, "text"),
], ids=["tensor", "mapping", "dataclass", "ragged list", "infinite scores", "whole numbers", "with none"])  # fmt: skip
def test_every_kind_of_answer_is_compared(function: Callable[[torch.Tensor], object]) -> None:
    torch.manual_seed(0)
    model = Answers(function).eval()
    analysis, mask, smaller = trial(model, rows(8))
    result = verified(model, smaller, analysis, mask, rows(8))
    assert result.passed and result.checks[0].conclusive
    with torch.no_grad():
        smaller.get_parameter("head.bias").add_(torch.arange(5.0))
    assert not verify_removal(model, smaller, analysis, mask, rows(8)).checks[0].passed


def test_complex_numbers_are_compared_in_double_precision() -> None:
    torch.manual_seed(0)
    model = Turned().eval()
    analysis, mask, smaller = trial(model, rows())
    assert mask.sum() == 8
    result = verified(model, smaller, analysis, mask, rows())
    assert result.passed and result.checks[0].difference < 1e-12 and result.checks[0].conclusive
    with torch.no_grad():
        smaller.get_parameter("scale")[0] *= 1.01 + 0.01j
    assert not verify_removal(model, smaller, analysis, mask, rows()).checks[0].passed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_verified_in_double(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, inputs = Transformer().to(dtype).eval(), (image()[0].to(dtype),)
    analysis, mask, smaller = trial(model, inputs)
    result = verified(model, smaller, analysis, mask, inputs)
    assert result.passed and result.checks[0].dtype == "float64" and result.checks[0].difference < 1e-12
    assert next(smaller.parameters()).dtype is dtype


def test_weights_that_only_a_milder_change_survives_get_that() -> None:
    torch.manual_seed(0)
    model = Logarithm().eval()
    analysis, mask, smaller = trial(model, rows())
    result = verified(model, smaller, analysis, mask, rows())
    assert result.passed and [c.name for c in result.checks if "near the model's weights" in c.name]
    spoiled(model, smaller, analysis, mask)
    assert not verified(model, smaller, analysis, mask, rows()).passed


def test_a_model_of_nan_weights_is_verified_on_others() -> None:
    torch.manual_seed(0)
    model = Residual().eval()
    with torch.no_grad():
        model.hidden.weight.fill_(torch.nan)
    analysis, mask, smaller = trial(model, image())
    result = verified(model, smaller, analysis, mask, image())
    assert result.passed and any("NaN or infinity" in str(reason) for reason in result.skipped)
    assert not any(c.name == "removal" for c in result.checks)


def test_a_wrong_cut_shows_on_the_way_where_the_answer_hides_it() -> None:
    torch.manual_seed(0)
    model = Residual().eval()
    nn.init.zeros_(model.head.weight)
    analysis, mask, smaller = trial(model, image())
    assert verified(model, smaller, analysis, mask, image()).passed
    spoiled(model, smaller, analysis, mask)
    first = verified(model, smaller, analysis, mask, image()).checks[0]
    assert not first.passed and str(first.detail).startswith("aten.convolution in stem.0 differs")


def test_an_effect_too_small_to_measure_is_called_inconclusive() -> None:
    torch.manual_seed(0)
    model = Answers(lambda y: y * 0).eval()
    analysis, mask, smaller = trial(model, rows())
    result = verified(model, smaller, analysis, mask, rows())
    assert all(c.passed and not c.conclusive for c in result.checks if c.effect is not None)
    assert str(result.checks[0].detail).startswith("inconclusive")
    with pytest.raises(VerificationError, match="inconclusive"):
        require_verified(result)


def test_randomised_weights_are_finite_positive_where_they_must_be_and_all_others() -> None:
    model = Residual().eval()
    before = {n: t.clone() for n, t in model.state_dict().items() if t.is_floating_point()}
    for level in LEVELS:
        weights = Weights(model, torch.float64, level)
        after = {name: weights.value(name) for name in before}
        assert all((after[n] != t).all() for n, t in before.items() if t.numel())
        assert all((t > 0).all() for n, t in after.items() if n.endswith("running_var"))
        assert all(len(t.unique()) > 0.9 * t.numel() for n, t in after.items() if n in dict(model.named_parameters()))
        assert ComparedRun(weights, [(image()[0].double(),)]).finite
    assert all(torch.equal(model.state_dict()[n], t) for n, t in before.items())


def test_other_batches_and_sizes_of_images_and_of_sequences() -> None:
    assert with_batch(image(), 3)[0].shape == (3, 3, 32, 32)  # type: ignore[index]
    assert with_batch(tokens(), 1)[0].shape == (1, 9)  # type: ignore[index]
    assert [one[0].shape for one in other_sizes(image())] == [(2, 3, 24, 24)]  # type: ignore[index]
    large = (torch.zeros(2, 3, 224, 224),)
    assert [one[0].shape[-1] for one in other_sizes(large)] == [64, 168]  # type: ignore[index]
    assert [one[0].shape for one in other_sizes(tokens())] == [(2, 7)]  # type: ignore[index]
    named = next(other_sizes({"ids": tokens()[0], "mask": torch.ones(2, 9)}))
    assert {k: v.shape for k, v in named.items()} == {"ids": (2, 7), "mask": (2, 7)}  # type: ignore[union-attr]
    assert not list(other_sizes((torch.zeros(3),)))
    ones, ids = torch.ones(2, 3), tokens()
    assert torch.equal(tensors_of(rescale((ones,), 4.0))[0], 4 * ones)
    assert torch.equal(tensors_of(rescale(ids, 4.0))[0], ids[0])


def test_attention_is_verified_on_a_shorter_sequence() -> None:
    torch.manual_seed(0)
    model = TorchAttention().eval()
    analysis, mask, smaller = trial(model, tokens())
    result = verified(model, smaller, analysis, mask, tokens())
    assert (
        result.passed
        and not result.skipped
        and [c.name for c in result.checks if c.dtype == "float32"] == ["removal in float32"]
    )


def test_the_measure_is_relative_and_sees_what_is_not_finite() -> None:
    one = torch.tensor([1.0, -4.0, torch.inf])
    assert worst_difference([one], [one.clone()]) == 0.0
    assert worst_difference([one], [torch.tensor([1.5, -4.0, torch.inf])]) == pytest.approx(0.125)
    assert worst_difference([one], [torch.tensor([1.0, -4.0, 5.0])]) == float("inf")
    assert worst_difference([one * torch.nan], [one * torch.nan]) == float("inf")
    assert worst_difference([one * 1j], [one * -1j]) == float("inf")  # infinities of other directions
    assert worst_difference([torch.tensor([3 + 4j])], [torch.tensor([3 - 4j])]) == pytest.approx(1.6)
    assert worst_difference([torch.tensor([2, 4])], [torch.tensor([2, 3])]) == pytest.approx(0.25)
    assert worst_difference([torch.tensor([2.0]), torch.tensor([4])], [torch.tensor([2.0]), torch.tensor([3])]) == 0.0


def test_masks_orders_weights_and_inputs_are_made_on_the_models_device() -> None:
    analysis = analyse(Residual().eval(), image())
    mask = trial_mask(analysis)
    # Tensors that say they are on a device which this machine need not have.
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = Residual().eval()
        there = {id(p): nn.Parameter(torch.empty(p.shape, device="cuda")) for p in model.parameters()}
        there |= {id(b): torch.empty(b.shape, dtype=b.dtype, device="cuda") for b in model.buffers()}
        replace(model, there)
        gone = gone_slices(Transition(analysis, analysis.empty(), mask))
        made = [with_nan(tensor, gone[name]) for name, tensor in model.named_parameters() if name in gone]
        for name, tensor in model.named_parameters():
            made += [randomise(name, tensor.detach(), level, parameter=True) for level in LEVELS[:1]]
        example = {
            "x": torch.empty(2, 3, 32, 32, device="cuda"),
            "ids": torch.zeros(2, 5, dtype=torch.int64, device="cuda"),
        }
        for inputs in (with_batch(example, 3), *other_sizes(example), perturb(example, 0.1)):
            made += tensors_of(inputs)
    assert {tensor.device.type for tensor in made} == {"cuda"}


def test_random_weights_first_asked_for_among_fake_tensors_are_numbers_later() -> None:
    random_weights._table.cache_clear()  # pyright: ignore[reportPrivateUsage]
    weight = torch.ones(4, 5)
    first = randomise("weight", weight, LEVELS[0], parameter=True)
    random_weights._table.cache_clear()  # pyright: ignore[reportPrivateUsage]
    with FakeTensorMode(allow_non_fake_inputs=True):
        randomise("weight", weight, LEVELS[0], parameter=True)
    assert torch.equal(randomise("weight", weight, LEVELS[0], parameter=True), first)


def test_a_network_that_makes_much_of_rounding_is_noticed() -> None:
    class Steep(nn.Module):
        def __init__(self, times: int) -> None:
            super().__init__()
            self.times, self.weight = times, nn.Parameter(torch.tensor(3.9, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(self.times):  # the logistic map: a difference doubles about every second step
                x = self.weight * x * (1 - x)
            return x

    inputs = (torch.rand(4, dtype=torch.float64) * 0.8 + 0.1,)
    for times, expected in ((2, False), (60, True)):
        model = Steep(times)

        def run(share: float, model: nn.Module = model) -> ComparedRun:
            return ComparedRun(Weights(model, torch.float64, nudge=share), [perturb(inputs, share)])

        assert is_chaotic(torch.float64, ComparedRun(Weights(model, torch.float64), [inputs]), run) is expected
        assert model.weight.item() == 3.9


class Flat(nn.Module):
    """Normalises what is nearly the same everywhere, so that the rounding of single precision is a tenth of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(9, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.first(x)) * 1e-4 + 100
        return self.head((h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True))


def test_where_rounding_is_all_that_differs_the_finest_type_decides() -> None:
    torch.manual_seed(0)
    model, inputs = Flat().eval(), rows()
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    result = finish(verify(model, made.model, analysis, mask, inputs))
    assert result.passed and [c.dtype for c in result.checks] == ["float64"] * 5 + ["exact"] + ["float64"] * 2
    weight = made.model.get_parameter("first.weight").data
    weight[0] = model.first.weight.data[0]
    wrong = finish(verify(model, made.model, analysis, mask, inputs))
    assert not wrong.checks[-2].passed and wrong.checks[-2].dtype == "float64"


class Precise(nn.Module):
    """Makes a table in double precision and hands it on in that of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Linear(9, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(x) + torch.arange(6, dtype=torch.float64).sin().to(x.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_made_in_double_precision_may_become_single_in_a_single_model(dtype: torch.dtype) -> None:
    model, given = Precise().to(dtype).eval(), (torch.randn(2, 9, dtype=dtype),)
    assert torch.equal(ComparedRun(Weights(model, dtype), [given]).outputs[0], model(*given))


def test_what_a_container_passes_on_is_kept_as_it_was() -> None:
    inner = nn.Sequential(nn.Linear(9, 6), nn.ReLU(inplace=True))
    model, trail = nn.Sequential(nn.Sequential(inner), nn.Linear(6, 3)), RunTrace()
    given = (torch.randn(4, 9),)
    ComparedRun(Weights(model, torch.float32), [given], seen=trail.keep)
    kept = {path: results[0].values for path, results in trail.results if results[0] is not None}
    assert torch.equal(kept["0.0.0"], inner[0](given[0]).flatten()) and (kept["0.0.0"] < 0).any()
    assert torch.equal(kept["0.0.1"], inner(given[0]).flatten())
    assert torch.equal(kept["0"], kept["0.0.1"])


@pytest.mark.parametrize("wrong", [False, True])
def test_a_result_on_the_way_is_compared_as_it_comes(wrong: bool) -> None:
    """The fault is taken back before the end: only what the module gave shows it."""
    model, given = nn.Sequential(nn.Linear(9, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)), (torch.randn(4, 9),)
    trail = RunTrace()
    plain = ComparedRun(Weights(model, torch.float32), [given], seen=trail.keep)
    beside = TraceComparison(trail)
    if wrong:
        model[0].register_forward_hook(lambda _module, _args, result: result - 2 * (result < 0))
    again = ComparedRun(Weights(model, torch.float32), [given], seen=beside.see)
    assert torch.equal(plain.outputs[0], again.outputs[0])
    difference, detail = beside.worst()
    assert (difference > 0.1 and "output of 0 differs" in str(detail)) if wrong else (difference, detail) == (0.0, "")
    assert beside.worst(left_out={"0"}) == (0.0, "")

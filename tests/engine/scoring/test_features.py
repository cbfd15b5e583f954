"""What enters a weight is measured however a model writes the product; Wanda and FLAP are made of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.features import FeatureStatistics
from secateur.engine.scoring.score_options import Choices, Normalise
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.tracing.isolated_forward import quiet_forward
from tests.engine.nets import TorchAttention, Transformer
from tests.engine.norm_nets import Standardised
from tests.engine.scoring.given_task import GivenTask

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _moments(model: nn.Module, name: str, *given: Tensor, passes: int = 1) -> tuple[Any, Any]:
    """(mean, variance) of what enters a weight."""
    watching = FeatureStatistics(
        {name: model.get_parameter(name)}, [p for n, p in model.named_parameters() if n != name]
    )
    with quiet_forward(model), watching:
        for part in range(passes):
            model(*(one.chunk(passes)[part] for one in given))
            watching.forget()
    return watching.moments[name].mean, watching.moments[name].variance


def _equal(found: tuple[Any, Any], features: Tensor, shape: tuple[int, ...]) -> bool:
    """The moments of features [rows, features], laid out against a weight."""
    variance, mean = torch.var_mean(features.double(), 0, correction=0)
    pairs = zip(found, (mean, variance), strict=True)
    return all(f.shape == shape and np.allclose(f.ravel(), e.detach(), atol=1e-5) for f, e in pairs)


@pytest.mark.parametrize("passes", [1, 3])
def test_a_linear_layer_over_several_batches(passes: int) -> None:
    x = torch.randn(6, 7, 5) * 3 + 2
    assert _equal(_moments(nn.Linear(5, 4), "weight", x, passes=passes), x.flatten(0, 1), (1, 5))


def test_a_convolution_and_a_transposed_one() -> None:
    x = torch.randn(2, 6, 5, 5)
    rows = x.movedim(1, -1).flatten(0, 2)
    assert _equal(_moments(nn.Conv2d(6, 4, 3), "weight", x), rows, (1, 6, 1, 1))
    assert _equal(_moments(nn.ConvTranspose2d(6, 4, 3), "weight", x), rows, (6, 1, 1, 1))


def test_each_row_of_a_grouped_convolution_has_the_features_of_its_group() -> None:
    x = torch.randn(2, 6, 5, 5)
    rows = x.movedim(1, -1).flatten(0, 2)  # [rows, 2 groups x 3]
    each = rows.unflatten(1, (2, 3)).repeat_interleave(2, 1).flatten(1)  # [rows, 4 x 3]
    assert _equal(_moments(nn.Conv2d(6, 4, 3, groups=2), "weight", x), each, (4, 3, 1, 1))


def test_a_standardised_weight_is_known_by_what_it_was_made_of() -> None:
    x = torch.randn(2, 6, 5, 5)
    assert _equal(_moments(Standardised(6, 4, 3), "weight", x), x.movedim(1, -1).flatten(0, 2), (1, 6, 1, 1))


def test_experts_in_one_stack_have_features_each() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stack = nn.Parameter(torch.randn(3, 5, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.bmm(x * torch.arange(1.0, 4.0)[:, None, None], self.stack)

    x = torch.randn(3, 7, 5)
    each = (x * torch.arange(1.0, 4.0)[:, None, None]).transpose(0, 1).flatten(1)  # [rows, 3 x 5]
    assert _equal(_moments(Experts(), "stack", x), each, (3, 5, 1))


def test_attention_in_one_function_shows_what_enters_its_projection() -> None:
    torch.manual_seed(0)
    net = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(3, 5, 8)
    mean, variance = _moments(_Self(net), "net.out_proj.weight", x)
    # An identity in place of the projection gives its input back.
    nn.init.eye_(net.out_proj.weight)
    nn.init.zeros_(net.out_proj.bias)
    assert _equal((mean, variance), net(x, x, x)[0].flatten(0, 1), (1, 8))


class _Self(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, x, x)[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_second_layer_of_a_recurrent_module_reads_the_first(kind: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    net, x = kind(5, 4, num_layers=2, batch_first=True).eval(), torch.randn(3, 7, 5)
    first = kind(5, 4, batch_first=True)
    first.load_state_dict({k: v for k, v in net.state_dict().items() if k.endswith("l0")})
    assert _equal(_moments(net, "weight_ih_l0", x), x.flatten(0, 1), (1, 5))
    assert _equal(_moments(net, "weight_ih_l1", x), first(x)[0].flatten(0, 1), (1, 4))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_recurrent_weight_reads_the_state_before_each_step(kind: Callable[..., nn.Module], batch_first: bool) -> None:
    torch.manual_seed(0)
    net, x = kind(5, 4, batch_first=batch_first, bidirectional=True).eval(), torch.randn(3, 7, 5)
    cell: Any = getattr(nn, f"{type(net).__name__}Cell")(5, 4)
    steps = list(x.unbind(1 if batch_first else 0))
    for suffix, course in (("l0", steps), ("l0_reverse", steps[::-1])):
        parts = {k.removesuffix(f"_{suffix}"): v for k, v in net.state_dict().items() if k.endswith(f"_{suffix}")}
        cell.load_state_dict(parts)
        state, read = None, [torch.zeros(len(steps[0]), 4)]
        for step in course:
            state = cell(step, state)
            read.append((state[0] if kind is nn.LSTM else state).detach())
        assert _equal(_moments(net, f"weight_hh_{suffix}", x), torch.cat(read[:-1]), (1, 4))


def test_the_first_state_that_a_recurrent_module_is_given_is_read_too() -> None:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.LSTM(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = torch.full((1, x.shape[1], 4), 3.0)
            return self.net(x, (state, state))[0]

    torch.manual_seed(0)
    net, x = Given().eval(), torch.randn(7, 3, 5)
    read = torch.cat([torch.full((1, 3, 4), 3.0), net(x).detach()[:-1]]).flatten(0, 1)
    assert _equal(_moments(net, "net.weight_hh_l0", x), read, (1, 4))


def test_wanda_of_a_neuron_is_its_readers_weights_times_the_size_of_its_activation() -> None:
    torch.manual_seed(0)
    net, task = _transformer(), GivenTask(IMAGES, 6)
    analysis = analyse(net, task.example_inputs())
    reader, hidden = net.layers[1].mlp[2], _entering(net, net.layers[1].mlp[2], task)
    expected = reader.weight.abs().mean(0) * hidden.square().mean(0).sqrt()
    neurons = next(s for s in analysis.sets if s.name == "layers.1.mlp.0.weight" and s.kind is Kind.NEURON)
    scores = finish(score(net, analysis, analysis.empty(), "wanda", task))
    assert np.allclose(scores[neurons.structures], expected.detach(), rtol=1e-4)


def test_wanda_of_a_head_is_the_mean_over_its_columns_of_the_projection() -> None:
    torch.manual_seed(0)
    net, task = _transformer(), GivenTask(IMAGES, 6)
    analysis = analyse(net, task.example_inputs())
    reader = net.layers[0].attention.proj
    sizes = _entering(net, reader, task).square().mean(0).sqrt()
    heads = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    scores = finish(score(net, analysis, analysis.empty(), "wanda", task))
    assert np.allclose(scores[heads.structures], (reader.weight.abs() * sizes).mean(0).view(4, -1).mean(1).detach())


def test_fluctuation_is_the_variance_times_the_squared_norm_of_what_reads_it() -> None:
    torch.manual_seed(0)
    net, task = _transformer(), GivenTask(IMAGES, 6)
    analysis = analyse(net, task.example_inputs())
    reader = net.layers[1].mlp[2]
    expected = (reader.weight.square().sum(0) * _entering(net, reader, task).var(0, correction=0)).detach()
    neurons = next(s for s in analysis.sets if s.name == "layers.1.mlp.0.weight" and s.kind is Kind.NEURON)
    raw = finish(score(net, analysis, analysis.empty(), "fluctuation", task, choices=Choices(normalise=Normalise.NONE)))
    assert np.allclose(raw[neurons.structures], expected, rtol=1e-4)
    scores = finish(score(net, analysis, analysis.empty(), "fluctuation", task))[neurons.structures]
    assert np.allclose(scores, (expected - expected.mean()) / expected.std(correction=0), rtol=1e-3, atol=1e-4)


def test_a_neuron_that_always_says_the_same_does_not_fluctuate() -> None:
    torch.manual_seed(0)
    first, task = nn.Linear(5, 8), GivenTask(torch.randn(12, 5), 3)
    net = nn.Sequential(first, nn.ReLU(), nn.Linear(8, 3))
    first.weight.data[3], first.bias.data[3] = 0.0, 9.0
    analysis, raw = analyse(net, task.example_inputs()), Choices(normalise=Normalise.NONE)
    scores = finish(score(net, analysis, analysis.empty(), "fluctuation", task, choices=raw))
    assert np.argmin(scores) == 3 and np.isclose(scores[3], 0.0)
    assert np.argmax(finish(score(net, analysis, analysis.empty(), "wanda", task))) == 3


@pytest.mark.parametrize("criterion", ["wanda", "fluctuation"])
def test_heads_of_torchs_own_attention_are_rated(criterion: str) -> None:
    net, tokens = TorchAttention().eval(), torch.arange(28).reshape(4, 7) % 11
    task = GivenTask(tokens, 6)
    analysis = analyse(net, task.example_inputs())
    heads = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    assert np.isfinite(finish(score(net, analysis, analysis.empty(), criterion, task))[heads.structures]).all()


def _transformer() -> Any:
    return Transformer().eval()


def _entering(net: nn.Module, layer: nn.Module, task: GivenTask) -> Tensor:
    """[rows, features] what enters a layer."""
    found: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, x: found.append(x[0].detach().flatten(0, -2)))
    for inputs, _ in task.given:
        net(inputs)
    handle.remove()
    return torch.cat(found)


def _mixtral() -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
            num_local_experts=3, num_experts_per_tok=1, vocab_size=50, bos_token_id=1, eos_token_id=2,
        )
    ).eval()  # fmt: skip


class _Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(input_ids=tokens).logits.mean(1)


def test_a_neuron_of_experts_in_one_stack_is_rated_by_what_reads_it_in_each_expert() -> None:
    net: Any = _Logits(_mixtral())
    task = GivenTask(torch.arange(56).reshape(8, 7) * 3 % 50, 5, batch=8)
    analysis = analyse(net, task.example_inputs())
    neurons = next(s for s in analysis.sets if s.kind is Kind.NEURON)
    experts = net.model.model.layers[0].mlp.experts
    entering: list[Tensor] = []
    handle = experts.register_forward_pre_hook(lambda _, given: entering.extend(given))
    net(task.given[0][0])
    handle.remove()
    rows, chosen = entering[0].flatten(0, -2).detach(), entering[1].flatten()
    sizes: list[Tensor] = []
    for number in range(3):
        up, gate = (rows[chosen == number] @ experts.gate_up_proj[number].T).chunk(2, -1)[::-1]
        sizes.append((nn.functional.silu(gate) * up).square().mean(0).sqrt().nan_to_num())
    expected = (experts.down_proj.abs() * torch.stack(sizes)[:, None]).mean((0, 1)).detach()
    scores = finish(score(net, analysis, analysis.empty(), "wanda", task))[neurons.structures]
    assert np.allclose(scores, expected, rtol=1e-3)

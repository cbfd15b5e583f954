"""Gates and Fisher information equal what explicit gates and gradients of single samples give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.samples import samples_of
from secateur.engine.scoring.score_options import Choices, Combine, Normalise
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.tasks.purposes.detection import Boxes
from tests.engine.nets import Transformer
from tests.engine.scoring.given_task import GivenTask
from tests.engine.surgery.test_blocks import llama

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
PLAIN = Choices(normalise=Normalise.NONE)


def _transformer() -> tuple[Any, GivenTask, Any]:
    torch.manual_seed(0)
    net, task = Transformer().eval(), GivenTask(IMAGES, 6, batch=4)
    return net, task, analyse(net, task.example_inputs())


def _gated(model: nn.Module, reader: nn.Module, gates: int, task: GivenTask) -> Tensor:
    """[samples, gates] gradient of gates multiplied into what a layer reads."""
    found: list[Tensor] = []
    for inputs, labels in task.given:
        for one, label in zip(inputs.split(1), labels.split(1), strict=True):
            gate = torch.ones(gates, requires_grad=True)

            def multiply(_: Any, x: Any, gate: Tensor = gate) -> Any:
                return (x[0].unflatten(-1, (gates, -1)) * gate[:, None]).flatten(-2)

            handle = reader.register_forward_pre_hook(multiply)
            loss = task.loss(model, (one, label))
            handle.remove()
            assert loss is not None
            found.append(torch.autograd.grad(loss, gate)[0])
    return torch.stack(found)


def test_a_heads_gate_is_that_of_michel_et_al() -> None:
    net, task, analysis = _transformer()
    layer = net.layers[1].attention
    expected = _gated(net, layer.proj, 4, task).abs().mean(0)
    heads = next(s for s in analysis.sets if s.kind is Kind.HEAD and s.name.startswith("layers.1"))
    scores = finish(score(net, analysis, analysis.empty(), "gates", task, choices=PLAIN))[heads.structures]
    assert np.allclose(scores, expected, rtol=1e-4)
    normed = finish(score(net, analysis, analysis.empty(), "gates", task))[heads.structures]
    assert np.allclose(normed, expected / expected.norm(), rtol=1e-4)


def test_a_key_value_groups_gate_covers_all_its_query_heads() -> None:
    class Logits(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: Tensor) -> Tensor:
            return self.model(input_ids=tokens).logits.mean(1)

    torch.manual_seed(0)
    net = Logits(llama()).eval()
    task = GivenTask(torch.arange(28).reshape(4, 7) * 3 % 50, 5)
    analysis = analyse(net, task.example_inputs())
    groups = next(s for s in analysis.sets if s.kind is Kind.KV_GROUP)
    reader: Any = net.get_submodule("model.model.layers.0.self_attn.o_proj")
    expected = _gated(net, reader, groups.count, task).abs().mean(0)
    scores = finish(score(net, analysis, analysis.empty(), "gates", task, choices=PLAIN))[groups.structures]
    assert np.allclose(scores, expected, rtol=1e-4)


@pytest.mark.parametrize("how", [Combine.SUM, Combine.MEAN])
def test_fisher_information_is_that_of_single_samples(how: Combine) -> None:
    net, task, analysis = _transformer()
    weight, total = net.layers[0].mlp[2].weight, torch.zeros(40)
    for inputs, labels in task.given:
        for one, label in zip(inputs.split(1), labels.split(1), strict=True):
            loss = task.loss(net, (one, label))
            assert loss is not None
            change = (weight * torch.autograd.grad(loss, weight)[0]).square()
            total += change.sum(0) if how is Combine.SUM else change.mean(0)
    neurons = next(s for s in analysis.sets if s.name == "layers.0.mlp.0.weight" and s.kind is Kind.NEURON)
    scores = finish(score(net, analysis, analysis.empty(), "fisher", task, choices=Choices(how)))
    assert np.allclose(scores[neurons.structures], total.detach() / 6, rtol=1e-4)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_multiplied_in_full_precision(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    net, task = net.to(precision).eval(), GivenTask(torch.randn(256, 64).to(precision), 3, batch=256)
    analysis = analyse(net, task.example_inputs())
    weight, loss = net[2].weight, task.loss(net, task.given[0])
    assert loss is not None
    expected = (weight.double() * torch.autograd.grad(loss, weight)[0].double()).sum(0).abs().detach()
    neurons = next(one for one in analysis.sets if one.module == "0").structures
    assert np.allclose(finish(score(net, analysis, analysis.empty(), "taylor", task))[neurons], expected, rtol=1e-4)


def test_a_batch_is_taken_apart_into_its_samples() -> None:
    images, labels = torch.randn(3, 2), torch.arange(3)
    one = next(iter(samples_of((images, labels), (images,))))
    assert torch.equal(one[0], images[:1]) and torch.equal(one[1], labels[:1])
    texts = {"ids": images, "texts": ["a", "b", "c"], "options": ("x", 3)}
    third = list(samples_of(texts, {"ids": images}))[2]
    assert torch.equal(third["ids"], images[2:]) and third["texts"] == ["c"] and third["options"] == ("x", 3)


def test_images_of_a_detector_are_samples_and_not_their_channels() -> None:
    images, targets = (
        [torch.randn(3, 8, 8), torch.randn(3, 9, 9)],
        [{"labels": torch.ones(4)}, {"labels": torch.ones(1)}],
    )
    second = list(samples_of((images, targets), (images,)))[1]
    assert second == ([images[1]], [targets[1]])


def test_a_pair_in_a_list_is_no_list_of_two_samples() -> None:
    images, labels = torch.randn(2, 5), torch.arange(2)
    first = next(iter(samples_of([images, labels], (images,))))
    assert first[0].shape == (1, 5) and first[1].shape == (1,)


def test_a_batch_that_cannot_be_taken_apart_is_one_sample() -> None:
    whole = object()
    assert list(samples_of(whole, (torch.randn(3, 2),))) == [whole]


def test_images_of_several_sizes_are_a_list_of_samples_whatever_their_channels() -> None:
    images = [torch.randn(3, 5, 5), torch.randn(3, 4, 6), torch.randn(3, 7, 7)]  # as many as they have channels
    targets = [Boxes(torch.ones(3, 4), *[torch.ones(3)] * 3) for _ in images]  # and boxes
    found = list(samples_of((images, targets), (images,)))
    assert len(found) == 3
    for place, (image, target) in enumerate(found):
        assert image[0] is images[place] and target[0] is targets[place]
        assert len(image) == len(target) == 1


def test_pairs_whose_loss_compares_them_count_as_one_batch(tmp_path: Path) -> None:
    lines = [f"{'ab' * (n + 1)},{'ba' * n}c,{n % 5}" for n in range(40)]
    (tmp_path / "pairs.csv").write_text("\n".join(["one,other,score", *lines]))
    options = (("features", "one,other"), ("label", "score"), ("purpose", "similarity"), ("tokenizer", "bytes"))
    task = open_task(TaskSpec("csv", str(tmp_path / "pairs.csv"), batch=8, options=(*options, ("length", "8"))))
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Embedding(256, 6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    analysis = analyse(net, task.example_inputs())
    neurons = next(one for one in analysis.sets if one.module == "1").structures
    found: list[Tensor] = []
    for batch in task.batches(Split.TRAIN, seed=0):
        loss: Any = task.loss(net, batch)
        (weight,) = torch.autograd.grad(loss, [net[3].weight])
        found.append((weight * net[3].weight).sum(0).abs())
    expected = torch.stack(found).mean(0).detach()
    scores = finish(score(net, analysis, analysis.empty(), "gates", task, choices=PLAIN))[neurons]
    assert expected.max() > 0 and np.allclose(scores, expected, rtol=1e-4)


class _Caching(nn.Module):
    """Keeps what it makes of a parameter, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.mix = nn.Linear(6, 8), nn.Linear(8, 5), nn.Parameter(torch.randn(5))
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 6] to [N, 5]."""
        if self.kept is None:
            self.kept = self.mix.softmax(0)
        return self.last(self.first(x).relu()) * self.kept


@pytest.mark.parametrize("criterion", ["taylor", "gates", "fisher"])
def test_what_a_model_keeps_of_a_pass_is_gone_after_it(criterion: str) -> None:
    task = GivenTask(torch.randn(16, 6), 5, 4)
    analysis = analyse(_Caching().eval(), task.example_inputs())
    net = _Caching().eval()
    assert np.isfinite(finish(score(net, analysis, analysis.empty(), criterion, task))).any()
    assert net.kept is None


def test_only_the_loss_need_know_how_the_model_is_called() -> None:
    class Pairs(GivenTask):
        def inputs(self, batch: Any) -> Any:
            raise AssertionError("the loss calls the model by itself")

    net, task = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)).eval(), Pairs(torch.randn(16, 6), 5, 4)
    analysis = analyse(net, GivenTask(torch.randn(16, 6), 5, 4).example_inputs())
    assert np.isfinite(finish(score(net, analysis, analysis.empty(), "taylor", task))).any()

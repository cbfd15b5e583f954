"""Memory of a plan, to the byte, against what is saved and what is alive when the cut model really runs."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.memory import Memory, memory, sample_memory
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tracing.recorder import quiet_forward
from tests.engine.nets import Concat, Ghost, Residual, Rotary, Tied, TorchAttention, Transformer, image, rows, tokens
from tests.engine.plans import random_plan


class Alive(TorchDispatchMode):
    """Bytes of all storages that exist at the end of each operator, and the most of these sums."""

    def __init__(self, own: set[int], given: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.own, self.now, self.peak = own, 0, 0
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._meet(given)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._meet((args, kwargs, result))
        self.peak = max(self.peak, self.now)
        return result

    def _meet(self, values: Any) -> None:
        for storage in storages(values):
            key, size = storage._cdata, storage.nbytes()
            if key not in self.own and key not in self._seen:
                self.now += size
                self._seen[key] = weakref.ref(storage, lambda _, k=key, s=size: self._freed(k, s))

    def _freed(self, key: int, size: int) -> None:
        del self._seen[key]
        self.now -= size


def storages(values: Any) -> Iterator[Any]:
    yield from (t.untyped_storage() for t in tree_leaves(values) if isinstance(t, torch.Tensor))


def measured(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Memory:
    """What really is saved, and alive."""
    own = {s._cdata for s in storages([*model.parameters(), *model.buffers()])}
    saved: dict[int, Any] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage  # held, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), sdpa_kernel(SDPBackend.MATH):
        model(*inputs)
    with quiet_forward(model), Alive(own, inputs) as alive:
        model(*inputs)
    return Memory(sum(s.nbytes() for s in saved.values()), alive.peak)


SAMPLES: list[tuple[Callable[[], nn.Module], tuple[torch.Tensor]]] = [
    *((net, image()) for net in (Residual, Concat, Transformer, Ghost)),
    (Tied, tokens()),
    (Rotary, rows()),
]


@pytest.mark.parametrize(("make", "inputs"), SAMPLES)
@pytest.mark.parametrize("seed", range(2))
def test_memory_of_a_random_plan_is_that_of_the_cut_model(
    make: Callable[[], nn.Module], inputs: tuple[torch.Tensor], seed: int
) -> None:
    assert_exact(make().eval(), inputs, seed)


def test_memory_of_every_block_that_goes() -> None:
    for make, inputs in ((Residual, image()), (Transformer, image()), (TorchAttention, tokens())):
        model = make().eval()
        analysis = analyse(model, inputs)
        for one in analysis.sets:
            if one.kind is Kind.BLOCK:
                assert_equal(model, analysis, inputs, np.arange(analysis.count) == one.first)


class InPlace(nn.Module):
    """Changes in place what its gradient needs, pools, drops channels into halves and takes views."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3), nn.Linear(12, 5)
        self.swish, self.pool = nn.Hardswish(inplace=True), nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.swish(self.first(x)))
        filled = torch.zeros_like(x)
        filled[:, :, 1:] = x[:, :, 1:]  # through a view: from here on it has a gradient
        y = self.second(filled * filled).relu_()
        y[:, :, 0] = 0.5
        left, right = y.double().split(3, -1)[:2]
        return self.head(nn.functional.silu(left + right, inplace=True).float().flatten(2).mean(2))


def test_memory_with_changes_in_place_is_that_of_the_cut_model() -> None:
    assert_exact(InPlace().eval(), image(18), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_memory_of_models_of_torchvision_is_that_of_the_cut_model(name: str) -> None:
    assert_exact(getattr(torchvision.models, name)(num_classes=7).eval(), image(64), 0)


def assert_exact(model: nn.Module, inputs: tuple[torch.Tensor], seed: int) -> None:
    analysis = analyse(model, inputs)
    assert_equal(model, analysis, inputs, analysis.empty())
    assert_equal(model, analysis, inputs, random_plan(analysis, seed))


def assert_equal(model: nn.Module, analysis: Analysis, inputs: tuple[torch.Tensor], mask: Mask) -> None:
    """What is foretold is what is measured on the cut model, to the byte."""
    if mask.any():
        model = cut(model, analysis, mask, inputs).model
    assert memory(analysis, mask) == measured(model, inputs)


def test_memory_of_a_sample_does_not_depend_on_how_many_the_example_has() -> None:
    found = [sample_memory(analyse(Residual(), image(batch=count))) for count in (2, 4)]
    assert found[0] == found[1] and found[0].peak > 0
    assert memory(analyse(Residual(), image(batch=4))).saved == 4 * found[0].saved

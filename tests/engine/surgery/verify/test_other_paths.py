"""Inputs for the other side of a branch are found, and what cannot be tried is told."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled
from secateur.engine.model_inputs import Inputs, call
from secateur.engine.surgery.verify.other_paths import LARGER, CodePath, PathSearch, resized
from secateur.engine.tracing.guards import Guards, watched
from secateur.engine.tracing.isolated_forward import quiet_forward, seeded
from secateur.engine.tracing.shadow_model import isolated_copy
from secateur.engine.tracing.tree import copied_inputs, tensors_of
from tests.engine import branching_nets as nets
from tests.engine.branching_nets import Branching


def run(model: nn.Module, path: CodePath, guards: Guards | None) -> object:
    def once(guards: Guards | None) -> object:
        twin, given = isolated_copy(model), copied_inputs(path.inputs)
        with quiet_forward(twin), seeded(path.seed):
            if guards is None:
                return call(twin, given)
            with guards.watching(twin, given):
                return call(twin, given)

    return watched(guards, once)


class Searched:
    def __init__(self, model: nn.Module, inputs: Inputs, most: int = 24) -> None:
        self.model, self.inputs, self.guards = model.eval(), inputs, Guards()
        run(model, CodePath("", inputs), self.guards)
        before = len(self.guards.runs)
        search = PathSearch(self.guards, inputs, lambda path: run(self.model, path, self.guards), most)
        self.paths = [*search]
        self.names = [str(one.name) for one in self.paths]
        self.told = [str(one) for one in search.untried]
        self.runs = len(self.guards.runs) - before
        assert not self.guards.unwatched


def searched(way: Callable[..., torch.Tensor], *shape: int, most: int = 24) -> Searched:
    torch.manual_seed(0)
    return Searched(Branching(way), (torch.randn(shape or (2, 3, 8, 8)),), most)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        (nets.one_sample, "batch size 1"),
        (nets.mean_chooses, "inputs × 100"),
        (nets.large_batch, "batch size 17"),
        (nets.wide, "size 17 in dimension 2 and 3"),
        (nets.large_values, "inputs × 100"),
        (nets.item_chooses, "inputs × 100"),
        (nets.plain_float_chooses, "inputs × 100"),
        (nets.many, "batch size 6"),
        (nets.inner_size, "size 32 in dimension 2 and 3"),
        (nets.area, "size 32 in dimension 2 and 3"),
        (nets.odd, "size 9 in dimension 2 and 3"),
        (nets.padded, "size 7 in dimension 2 and 3"),
        (nets.drawn_by_torch, "random seed 1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_other_side_is_found(way: Callable[..., torch.Tensor], name: str) -> None:
    found = searched(way)
    assert found.names == [name] and found.told == [] and found.runs <= 8
    assert all(len(one.taken) == 2 for one in found.guards.found())


def test_chance_is_tried_under_other_seeds() -> None:
    found = searched(nets.by_chance)
    assert [one.seed for one in found.paths] == [1, 2, 3]
    ways = {str(run(found.model, one, None)) for one in (CodePath("", found.inputs), *found.paths)}
    assert len(ways) == 2


def test_a_side_that_cannot_be_tried_is_told() -> None:
    found = searched(nets.vast)
    line = nets.vast.__code__.co_firstlineno + 1
    assert found.paths == [] and found.told == [
        f"branching_nets.py line {line} branches on the batch size "
        "(return net.a(x) if x.shape[0] > 4096 else net.b(x)). Tried: 2. Not tried: above 4096"
    ]


def test_a_side_that_only_some_modules_took_is_told_with_the_others() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = Branching(nets.wide), Branching(nets.wide)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.large(x.repeat(1, 1, 8, 8)).mean() + self.small(x)

    line = nets.wide.__code__.co_firstlineno + 2
    assert Searched(Two(), (torch.randn(1, 3, 8, 8),), most=0).told == [
        f"branching_nets.py line {line} in large branches on a size (if x.shape[-1] > 16:). "
        "Tried: 64. Not tried: 16 or less",
        f"branching_nets.py line {line} in small branches on the size of dimension 3 (if x.shape[-1] > 16:). "
        "Tried: 8. Not tried: above 16",
    ]
    found = Searched(Two(), (torch.randn(1, 3, 8, 8),))
    assert found.told == [] and "size 2 in dimension 2 and 3" in found.names


def test_a_side_that_the_model_itself_left_out_is_told() -> None:
    class Outer(Branching):
        def __init__(self) -> None:
            super().__init__(nets.wide)
            self.inner = Branching(nets.wide)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.repeat(1, 1, 8, 8)).mean() + super().forward(x)

    told = Searched(Outer(), (torch.randn(1, 3, 8, 8),), most=0).told
    assert len(told) == 2 and "in inner branches" in told[0] and "in the model branches" in told[1]


def test_values_that_nothing_reaches_are_told() -> None:
    found = searched(nets.impossible)
    assert found.paths == [] and [one.partition(" branches")[2] for one in found.told] == [
        " on tensor values (return net.a(x) if x.sigmoid().mean() <= 1 else net.b(x)). Tried: True. Not tried: False"
    ]


def test_a_value_that_only_a_batch_of_none_would_reach_is_searched_for_in_vain() -> None:
    found = searched(nets.far_below_a_bound)
    assert found.paths == [] and found.runs > 4


def test_what_raises_and_what_is_the_networks_own_is_not_told() -> None:
    found = searched(nets.insisting)
    assert [one for one in found.told if "1e30" not in one] == []


def test_runs_and_sizes_are_bounded() -> None:
    elements: list[int] = []
    guards, inputs = Guards(), (torch.randn(2, 3, 8, 8),)
    model = Branching(nets.impossible).eval()
    run(model, CodePath("", inputs), guards)

    def counted(path: CodePath) -> object:
        elements.append(sum(one.numel() for one in tensors_of(path.inputs)))
        return run(model, path, guards)

    search = PathSearch(guards, inputs, counted, most=3)
    assert [*search] == [] and len(elements) == 3 and len(search.untried) == 1
    assert max(elements) <= LARGER * inputs[0].numel()
    assert [*PathSearch(guards, inputs, counted, seconds=0.0)] == [] and len(elements) <= 4


class Text(nn.Module):
    """Token ids [N, T] and a mask [N, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        h = self.embed(input_ids)
        if not attention_mask.all():
            h = h * attention_mask[..., None]
        if input_ids.shape[1] > 20:
            h = h.flip(-1)
        if input_ids.max() < 1:
            h = h.roll(1, -1)
        return self.out(h)


class Behind(Text):
    """A branch that only unpadded text comes to, and another way for one token."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        h = self.embed(input_ids)
        if attention_mask.all() and input_ids.shape[1] > 30:
            h = h.flip(-1)
        return self.out(h)


def test_a_branch_behind_another_is_found() -> None:
    ids, mask = torch.arange(1, 21).view(2, 10), torch.ones(2, 10, dtype=torch.long)
    mask[1, 7:] = 0
    found = Searched(Behind(), {"input_ids": ids, "attention_mask": mask})
    assert "full masks" in found.names
    assert "full masks, size 31 in dimension 1 of attention_mask, input_ids" in found.names
    assert found.told == []


def test_text_is_made_longer_padded_and_of_other_ids() -> None:
    ids = torch.arange(1, 21).view(2, 10)
    found = Searched(Text(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert set(found.names) == {
        "size 21 in dimension 1 of attention_mask, input_ids",
        "padding at the end",
        "the lowest ids",
    }
    assert found.told == []
    longer = next(one.inputs for one in found.paths if "21" in str(one.name))
    assert [one.shape for one in tensors_of(longer)] == [(2, 21), (2, 21)]


def test_resized_inputs_repeat_what_is_there() -> None:
    x, ids = torch.randn(2, 3), torch.tensor([[1, 2], [3, 4]])
    made = resized({"x": x, "ids": ids}, frozenset((("x", 0), ("ids", 0))), 5)
    assert torch.equal(made["ids"], ids[[0, 1, 0, 1, 0]])  # type: ignore[call-overload]
    assert torch.equal(made["x"][:2], x) and not torch.equal(made["x"][2:4], x)  # type: ignore[call-overload]
    assert torch.equal(resized((ids,), frozenset((("0", 1),)), 1)[0], ids[:, :1])  # type: ignore[index]


def test_a_cancel_ends_the_search() -> None:
    guards, inputs = Guards(), (torch.randn(2, 3, 8, 8),)
    run(Branching(nets.impossible).eval(), CodePath("", inputs), guards)
    asked: list[CodePath] = []

    def cancelled(path: CodePath) -> object:
        asked.append(path)
        raise Cancelled

    with pytest.raises(Cancelled):
        list(PathSearch(guards, inputs, cancelled))
    assert len(asked) == 1

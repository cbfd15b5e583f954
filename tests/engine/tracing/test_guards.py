"""What a forward branches on is noticed, and watching changes nothing."""

import copy
import json
import math
import pickle
import random
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.model_inputs import Inputs, call
from secateur.engine.tracing.guards import Guard, GuardKind, Guards, watched
from secateur.engine.tracing.isolated_forward import quiet_forward
from secateur.engine.tracing.shadow_model import isolated_copy
from tests.engine import branching_nets as nets
from tests.engine.branching_nets import Branching

BATCH, SIZE, VALUE, RANDOM = GuardKind


def run(model: nn.Module, inputs: Inputs, guards: Guards | None) -> object:
    twin = isolated_copy(model)
    with quiet_forward(twin):
        if guards is None:
            return call(twin, inputs)
        with guards.watching(twin, inputs):
            return call(twin, inputs)


def seen(model: nn.Module, *runs: torch.Tensor) -> Guards:
    guards = Guards()
    for one in runs:
        run(model, (one,), guards)
    return guards


def only(guards: Guards) -> Guard:
    (found,) = guards.found()
    return found


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("way", "kind", "operator", "bound"),
    [
        (nets.one_sample, BATCH, "==", 1),
        (nets.mean_chooses, VALUE, "bool", None),
        (nets.large_batch, BATCH, ">", 16),
        (nets.wide, SIZE, ">", 16),
        (nets.drawn_by_torch, RANDOM, "bool", None),
        (nets.large_values, VALUE, "bool", None),
        (nets.item_chooses, VALUE, ">", 2),
        (nets.plain_float_chooses, VALUE, ">", 1),
        (nets.many, BATCH, ">", 5),
        (nets.inner_size, SIZE, ">=", 8),
        (nets.area, SIZE, ">", 1000),
        (nets.odd, SIZE, "!=", 0),
        (nets.padded, SIZE, "!=", None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_branch_is_noticed_with_its_line(
    way: Callable[..., torch.Tensor], kind: GuardKind, operator: str, bound: float | None
) -> None:
    model = Branching(way).eval()
    guard = only(seen(model, X, X[:1]))
    assert (guard.kind, guard.operator, guard.bound) == (kind, operator, bound)
    assert guard.file == nets.__file__ and guard.text.startswith(("if", "return"))
    first = way.__code__.co_firstlineno
    assert first < guard.line < first + 6
    assert guard.branches and guard.module == ""
    assert torch.equal(run(model, (X,), None), run(model, (X,), Guards()))  # type: ignore[arg-type]


def test_both_sides_are_known_once_taken() -> None:
    guards = seen(Branching(nets.one_sample).eval(), X)
    assert only(guards).taken == {False} and only(guards).open
    run(Branching(nets.one_sample).eval(), (X[:1],), guards)
    assert only(guards).taken == {False, True} and not only(guards).open


def test_a_call_is_one_guard_however_often_it_ran() -> None:
    def long(net: Branching, x: torch.Tensor) -> torch.Tensor:
        return net.a(x) if len(x) > 4 else net.b(x)

    few, many = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 4, 4)
    assert only(seen(Branching(long), *[few] * 12, many)).taken == {True, False}


def test_what_raises_is_no_side() -> None:
    guards = seen(Branching(nets.insisting).eval(), X)
    with pytest.raises(AssertionError):
        run(Branching(nets.insisting).eval(), (X.repeat(9, 1, 1, 1),), guards)
    (guard,) = (one for one in guards.found() if one.bound == 9)
    assert guard.taken == {True} and guard.raising == {False} and not guard.open
    assert [one.raised for one in guards.runs] == [False, True]


def test_constants_and_questions_of_finiteness_are_no_guards() -> None:
    found = seen(Branching(nets.insisting).eval(), X).found()
    assert [one.text for one in found if one.kind is VALUE] == [
        "if net.ready and (x.mean() < 1e30) and not torch.isnan(x).any():"
    ]


def test_a_changed_constant_is_one_no_more() -> None:
    def way(net: Branching, x: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros(2)
        if kept.sum() > 0:
            raise AssertionError
        kept[0] = x.max()
        if kept.sum() > 100:
            x = x / 2
        return net.a(x)

    assert only(seen(Branching(way).eval(), X)).text == "if kept.sum() > 100:"


def test_chance_and_state_are_noticed() -> None:
    def drawing(net: Branching, x: torch.Tensor) -> torch.Tensor:
        return net.a(x) + random.random() + float(np.random.rand()) + torch.rand(())

    assert seen(Branching(drawing).eval(), X).drawn == {"Python", "NumPy", "torch"}
    assert seen(Branching(nets.by_chance).eval(), X).drawn == {"Python"}
    assert not seen(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout()).eval(), X).drawn

    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.memory, self.same = Branching(nets.second_call), list[int](), 3
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.steps += 1
            self.memory.append(self.same)
            return self.inner(x)

    assert seen(Remembering().eval(), X).changed == {("inner", "calls"), ("", "memory"), ("", "steps")}


def test_a_size_is_a_number_wherever_one_is_taken() -> None:
    def way(net: Branching, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        assert isinstance(h, int) and type(h + 1) is type(h) and {8: "a"}[h] == "a" and hash(h) == hash(8)
        assert json.dumps([h, h / 2]) == "[8, 4.0]" and f"{h:03d} {h} {h!r}" == "008 8 8" and range(h)[-1] == 7
        assert type(copy.deepcopy(x.shape)[2]) is int and type(pickle.loads(pickle.dumps(h))) is int
        assert math.sqrt(h * 2) == 4 and math.ceil(h / 3) == 3 and round(h / 3, 1) == 2.7 and divmod(h, 3) == (2, 2)
        assert 2**h == 256 and -h == -8 and 1 - h == -7 and 16 // h == 2 and h % 3 == 2 and h << 1 == 16
        assert h * [0] == [0] * 8 and "ab" * h == "ab" * 8 and (0, 1, 2, 3, 4, 5, 6, 7, 8)[h] == 8
        assert np.zeros((h, w)).shape == (8, 8) and struct_of(h) and h != "8" and h is not None
        y = F.interpolate(x, size=(h * 2, w * 2)).view(n, c, h, 2, w, 2)[:, :, :h, 0, :, 1]
        y = y + torch.arange(h).float() * h + torch.zeros(h, w) + torch.full((w,), h) + x.new_zeros(h)
        y = F.adaptive_avg_pool2d(F.pad(y, (0, h)), (h, w)).expand(n, c, h, w).reshape(-1, c, h, w)
        y = y + scripted(y, h) + torch.eye(h) + torch.linspace(0, 1, w) + torch.cat(torch.split(y, h // 2, 3), 3)
        y = y.unflatten(2, (h, 1)).flatten(2, 3).repeat(1, 1, h // 8, 1).roll(h, -1).narrow(2, 0, h)
        y = y.as_strided((n, c, h, w), (c * h * w, h * w, w, 1)) + torch.tensor([h, h]).sum() + x.numel()
        y = y + torch.vmap(lambda one: one * h)(y) + F.layer_norm(y, (h, w)) + (h > 4)
        return net.a(y)

    model = Branching(way).eval()
    guards = Guards()
    result = run(model, (X,), guards)
    assert torch.equal(result, run(model, (X,), None)) and not guards.unwatched  # type: ignore[arg-type]


def struct_of(size: int) -> bool:
    import struct

    return struct.pack("i", size) == struct.pack("i", 8)


def _larger(x: torch.Tensor, size: int) -> torch.Tensor:
    return x * size if size > 3 else x


with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    scripted = torch.jit.script(_larger)


def test_a_function_that_takes_no_other_ints_gets_plain_ones() -> None:
    def exact(x: torch.Tensor, size: int) -> torch.Tensor:
        if torch.overrides.has_torch_function_unary(x):
            return torch.overrides.handle_torch_function(exact, (x,), x, size)
        if type(size) is not int:
            raise TypeError("an int is needed")
        return x * size

    model = Branching(lambda net, x: net.a(exact(x, x.shape[-1]))).eval()
    guards = seen(model, X)
    assert not guards.unwatched and not guards.runs[0].raised


def test_a_model_that_cannot_be_watched_runs_unwatched() -> None:
    def way(net: Branching, x: torch.Tensor) -> torch.Tensor:
        if type(x.shape[0]) is not int:
            raise TypeError("an int is needed")
        return net.a(x)

    model, guards = Branching(way).eval(), Guards()
    result = watched(guards, lambda given: run(model, (X,), given))
    assert torch.equal(result, run(model, (X,), None)) and guards.unwatched and not guards.runs  # type: ignore[arg-type]

    failing = Branching(nets.insisting).eval()
    with pytest.raises(AssertionError):
        watched(guards, lambda given: run(failing, (X.repeat(9, 1, 1, 1),), given))
    assert guards.runs[-1].raised


def test_nothing_stays_behind() -> None:
    kept: list[object] = []

    def way(net: Branching, x: torch.Tensor) -> torch.Tensor:
        kept.append(x.shape[0])
        return net.a(x)

    guards = seen(Branching(way).eval(), X)
    assert kept[0] > 1 and bool(kept[0])  # type: ignore[operator]
    assert not guards.found()
    assert torch.overrides._get_current_function_mode() is None
    assert sys.getrefcount(guards) < 4


def test_what_is_passed_on_is_not_written_on() -> None:
    model = Branching(lambda net, x: net.a(x.to(x.device)) + net.b.bias.to(x.device).contiguous()[:, None, None]).eval()
    seen(model, X)
    assert not any(vars(one) for one in (X, *model.parameters(), *model.buffers()))


def test_a_value_in_a_list_and_a_constant_beside_it() -> None:
    def way(net: Branching, x: torch.Tensor) -> torch.Tensor:
        lengths, own = x.flatten(1).argmax(1).tolist(), net.a.weight.flatten()[:2].tolist()
        if own[0] > 100:
            x = -x
        return net.a(x) if lengths[0] > 1000 else net.b(x)

    guard = only(seen(Branching(way).eval(), X))
    assert guard.kind is VALUE and guard.read == "tolist" and guard.bound == 1000


def test_in_float64_too() -> None:
    model = Branching(nets.mean_chooses).eval().double()
    assert only(seen(model, X.double())).kind is VALUE

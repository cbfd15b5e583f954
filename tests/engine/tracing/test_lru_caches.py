"""What a cached function of a model's code made before is no part of a run, and a run leaves nothing for the next."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.tracing import recorder
from secateur.engine.tracing.recorder import record

calls: list[int] = []


@functools.lru_cache(maxsize=8)
def positions(size: int) -> dict[str, tuple[torch.Tensor]]:
    calls.append(size)
    return {"table": (torch.arange(size, dtype=torch.float32),)}


@functools.lru_cache
def chosen(size: int) -> list[int]:
    """Holds no tensor."""
    return [size]


def remembering(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A decorator as transformers has one: what it wraps is cached."""
    kept = functools.cache(function)

    @functools.wraps(function)
    def wrapper(*args: Any) -> torch.Tensor:
        return kept(*args)

    return wrapper


class Tables(nn.Module):
    """Tables of positions, made once a process; one has the width of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head, self.width = nn.Linear(9, 6), nn.Linear(6, 4), 6

    @staticmethod
    @remembering
    def ramp(size: int) -> torch.Tensor:
        return torch.linspace(0.0, 1.0, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen(9)
        x = x + positions(9)["table"][0]
        return self.head(self.up(x) * self.ramp(6).mean())


@pytest.mark.parametrize("size", [0, 10**9])
def test_each_run_makes_its_own(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SMALL", size)  # recorded without weights, and with them
    torch.manual_seed(0)
    model, inputs = Tables().eval(), (torch.randn(2, 9),)
    before, kept = model(*inputs), chosen(9)
    first, second = record(model, inputs), record(model, inputs)
    assert {"aten.arange", "aten.linspace"} <= {call.op for call in first.calls}
    assert [call.op for call in first.calls] == [call.op for call in second.calls]
    assert torch.equal(model(*inputs), before)  # no tensor without values was left in its way
    assert chosen(9) is kept


def test_a_model_with_such_a_table_is_cut() -> None:
    torch.manual_seed(0)
    model, inputs = Tables().eval(), (torch.randn(2, 9),)
    analysis = finish(settle(model, inputs, name="tables"))
    mask = trial_mask(analysis)
    assert cut(model, analysis, mask, inputs).model.get_parameter("up.weight").shape == (
        3,
        9,
    )

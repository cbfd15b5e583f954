"""What does not survive a trial cut is found with few trials, and nothing else is refused."""

from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis
from secateur.engine.surgery import settle as module
from secateur.engine.surgery.cut import cut
from secateur.engine.surgery.protocol import Edits
from secateur.engine.surgery.settle import settle, trial_mask

INPUTS = (torch.randn(2, 6, generator=torch.Generator().manual_seed(0)),)
DEPTH = 24


class Picky(nn.Module):
    """A chain of layers that refuses other widths in its own code: (layers, how many of these may change)."""

    def __init__(self, *demands: tuple[tuple[int, ...], int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6 if n == 0 else 7 + n, 8 + n) for n in range(DEPTH)])
        self.out, self.demands = nn.Linear(7 + DEPTH, 3), demands

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed = set[int]()
        for number, layer in enumerate(self.layers):
            x = torch.relu(layer(x))
            if x.shape[1] != 8 + number:
                changed.add(number)
            for layers, allowed in self.demands:
                if len(changed.intersection(layers)) > allowed:
                    raise ValueError(f"not layer {number}")
        return self.out(x)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each trial cut: how many structures it removes."""
    seen: list[int] = []
    real = module.rehearse

    def counted(model: nn.Module, analysis: Analysis, before: Any, after: Any, *rest: Any) -> Any:
        seen.append(int(after.sum()))
        return real(model, analysis, before, after, *rest)

    monkeypatch.setattr(module, "rehearse", counted)
    return seen


def settled(model: nn.Module) -> Analysis:
    analysis = finish(settle(model.eval(), INPUTS, "picky", NeverCancelled()))
    if analysis.sets:
        cut(model, analysis, analysis.empty(), trial_mask(analysis), Edits(), INPUTS)  # what is offered runs
    return analysis


def refused(model: nn.Module) -> set[str]:
    """Keys that an analysis alone offers, and a settled one does not."""
    return {s.name for s in analyse(model.eval(), INPUTS).sets} - {s.name for s in settled(model).sets}


def names(*layers: int) -> set[str]:
    return {f"layers.{n}.weight" for n in layers}


def test_a_model_that_runs_takes_one_trial(trials: list[int]) -> None:
    assert refused(Picky()) == set() and len(trials) == 1


@pytest.mark.parametrize("bad", [(0,), (11,), (5, 17), (3, 4, 20)])
def test_only_what_does_not_run_is_refused_and_found_with_few_trials(bad: tuple[int, ...], trials: list[int]) -> None:
    assert refused(Picky((bad, 0))) == names(*bad)
    assert len(trials) <= 2 + 5 * len(bad) < DEPTH


def test_of_two_that_do_not_run_together_one_is_kept(trials: list[int]) -> None:
    gone = refused(Picky(((2, 9), 1)))
    assert len(gone) == 1 and gone <= names(2, 9)


def test_where_all_fail_all_are_refused(trials: list[int]) -> None:
    assert refused(Picky((tuple(range(DEPTH)), 0))) == names(*range(DEPTH))


def test_a_model_that_cannot_be_copied_is_tried_once(trials: list[int]) -> None:
    class Single(Picky):
        def __deepcopy__(self, memo: object) -> "Single":
            raise TypeError("there can be only one")

    model = Single()
    analysis = settled(model)
    assert analysis.sets == () and len(trials) == 1
    assert "only one" in str(next(f.reason for f in analysis.fixed if f.reason.code == "fixed.unrepaired"))


def test_it_can_be_cancelled_between_trials() -> None:
    class Token:
        on = False

        def is_set(self) -> bool:
            return self.on

    token = Token()
    job = settle(Picky(((3, 9), 0)).eval(), INPUTS, "picky", token)
    with pytest.raises(Cancelled):
        for progress in job:
            token.on = "sets on trial" in str(progress.message)

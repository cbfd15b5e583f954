"""What does not survive a trial cut is found with few trials, and nothing else is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut import trial_cuts as module
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.verify import verify

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
    real = module.try_cut

    def counted(model: nn.Module, transition: Transition, *rest: Any) -> Any:
        seen.append(int(transition.after.sum()))
        return real(model, transition, *rest)

    monkeypatch.setattr(module, "try_cut", counted)
    return seen


def settled(model: nn.Module) -> Analysis:
    analysis = finish(settle(model.eval(), INPUTS, name="picky"))
    if analysis.sets:
        cut(model, analysis, trial_mask(analysis), INPUTS)  # what is offered runs
    return analysis


def refused(model: nn.Module) -> set[str]:
    """Keys that an analysis alone offers, and a settled one does not."""
    return {s.name for s in analyse(model.eval(), INPUTS).sets} - {s.name for s in settled(model).sets}


def names(*layers: int) -> set[str]:
    return {f"layers.{n}.weight" for n in layers}


def test_a_model_that_runs_takes_a_trial_of_all_and_one_of_each_kind(trials: list[int]) -> None:
    assert refused(Picky()) == set() and len(trials) == 3  # the last layer is read by another one


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
    job = settle(Picky(((3, 9), 0)).eval(), INPUTS, name="picky", token=token)
    with pytest.raises(Cancelled):
        for progress in job:
            token.on = "Trial cut" in str(progress.message)


class Between(nn.Module):
    """Two layers and what a forward does between them."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], makes: int = 16, reads: int = 16) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, makes), nn.Linear(reads, 8), nn.Linear(8, 3)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.second(self.between(torch.tanh(self.first(x))))))


def in_thirds(x: torch.Tensor) -> torch.Tensor:
    """Two of three parts, of which the code works out the sizes, meet index by index."""
    a, b, c = x.tensor_split(3, 1)
    return torch.cat([a[:, :5] * b, c, b, a[:, 5:]], 1)


@pytest.mark.parametrize(
    ("between", "reads"), [(in_thirds, 16), (lambda x: x[:, 1:] - x[:, :-1], 15), (lambda x: x[:, 1:] * x[:, :-1], 15)]
)
def test_what_can_only_go_together_with_others_is_not_offered_alone(
    between: Callable[[torch.Tensor], torch.Tensor], reads: int
) -> None:
    torch.manual_seed(0)
    model = Between(between, reads=reads)
    analysis = settled(model)
    assert {s.name for s in analysis.sets} == {"second.weight"}
    assert {
        f.reason.code for f in analysis.fixed if analysis.tensors[f.tensor].name == "first.weight" and f.dim == 0
    } & {
        "fixed.all_or_none",
        "fixed.unrepaired",
    }


class Iterated(nn.Module):
    """Runs to a fixed point; the layer that ends it early is another one than the layer that it repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.step = nn.Linear(6, 12), nn.Linear(12, 12)
        self.gate, self.out = nn.Linear(6, 10), nn.Linear(22, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start, gate = self.start(x), torch.tanh(self.gate(x))
        found = start
        for _ in range(4 - (found.shape[1] < 12) + (gate.shape[1] < 10)):  # as many as before, where both are cut
            found = torch.tanh(self.step(found) + start)
        return self.out(torch.cat([found, gate], 1))


def test_two_sets_that_only_run_together_are_not_offered_alone() -> None:
    analysis = settled(Iterated())
    for one in analysis.sets:
        cut(Iterated().eval(), analysis, trial_mask(analysis, (one,)), INPUTS)
    assert {s.name for s in analysis.sets} == set()


def test_sets_that_are_alike_are_tried_one_by_one_where_the_first_cannot_go_alone(trials: list[int]) -> None:
    class Paired(Picky):
        """The first layer changes together with the second only."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            narrow = [layer.out_features != 8 + n for n, layer in enumerate(self.layers)]
            if narrow[0] != narrow[1]:
                raise ValueError("layers 0 and 1 differ")
            return super().forward(x)

    assert refused(Paired()) == names(0, 1) and len(trials) <= 6 + DEPTH


def test_operators_that_only_change_the_layout_are_no_difference() -> None:
    def laid_out(x: torch.Tensor) -> torch.Tensor:
        """What torch does to sizes of one, here to any size that a cut makes."""
        return x if x.shape[1] == 16 else x.as_strided(x.shape, x.stride())

    assert {s.name for s in settled(Between(laid_out)).sets} == {"first.weight", "second.weight"}


class Positions(nn.Module):
    """Adds positions [T, 16] to a sequence [N, T, 6]; made anew for longer ones, of the stored width or the table's."""

    def __init__(self, stored: bool) -> None:
        super().__init__()
        self.embed, self.inner, self.out = nn.Linear(6, 16), nn.Linear(16, 24), nn.Linear(24, 3)
        self.width, self.stored = 16, stored
        self.table = nn.Buffer(self.made(5, 16), persistent=False)

    @staticmethod
    def made(length: int, width: int) -> torch.Tensor:
        return torch.sin(torch.arange(length * width, dtype=torch.float32)).view(length, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        if length + 1 > self.table.size(0):
            self.table = nn.Buffer(self.made(length + 1, self.width if self.stored else self.table.shape[1]))
        return self.out(
            torch.relu(self.inner(torch.tanh(self.embed(x) + self.table.index_select(0, torch.arange(1, length + 1)))))
        )


def test_the_width_of_a_table_that_is_made_anew_for_longer_inputs_is_kept() -> None:
    torch.manual_seed(0)
    model, inputs = Positions(stored=True).eval(), (torch.randn(2, 3, 6),)
    assert {s.name for s in analyse(model, inputs).sets} == {"embed.weight", "inner.weight"}
    analysis = finish(settle(model, inputs))
    assert {s.name for s in analysis.sets} == {"inner.weight"}
    reasons = {str(f.reason) for f in analysis.fixed if (analysis.tensors[f.tensor].name, f.dim) == ("embed.weight", 0)}
    assert len(reasons) == 1 and "size 5 in dimension 1: RuntimeError" in reasons.pop()
    mask = trial_mask(analysis)
    assert finish(verify(model, cut(model, analysis, mask, inputs).model, analysis, mask, inputs)).passed


def test_a_table_that_is_made_anew_in_its_own_width_can_be_cut() -> None:
    torch.manual_seed(0)
    analysis = finish(settle(Positions(stored=False).eval(), (torch.randn(2, 3, 6),)))
    assert {s.name for s in analysis.sets} == {"embed.weight", "inner.weight"}


def test_longer_inputs_are_looked_for_only_where_code_compares_the_size_of_a_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[frozenset[int]] = []

    def none(_: Any, sizes: frozenset[int]) -> tuple[()]:
        looked.append(sizes)
        return ()

    monkeypatch.setattr(module, "longer_inputs", none)

    class Reading(Between):
        """Reads the size of a weight, and compares nothing."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).reshape(-1, self.out.weight.shape[0])

    settled(Reading(torch.relu))
    finish(settle(Positions(stored=True).eval(), (torch.randn(2, 3, 6),)))
    assert len(looked) == 1 and 5 in looked[0]

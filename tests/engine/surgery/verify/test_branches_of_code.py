"""Code that the recorded run did not take: a cut that is wrong there is refused, and what was not tried is told."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import VerificationError
from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import IN_A_ROW, Verification
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import IN_TURN, CutVerification, require_verified, verify

Branch = Callable[["Branching", torch.Tensor, torch.Tensor], torch.Tensor]


class Branching(nn.Module):
    """Rows [N, 12] through two layers, with a branch of Python between them."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.first, self.second, self.branch, self.calls = nn.Linear(12, 16), nn.Linear(16, 5), branch, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.branch(self, x, torch.relu(self.first(x))))


def turned(h: torch.Tensor) -> torch.Tensor:
    """Right only as long as no channel is missing."""
    return h.roll(1, -1)


def one_sample(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if x.shape[0] == 1 else h


def many_samples(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if len(x) > 7 else h


def recorded(_: nn.Module, __: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if torch.is_grad_enabled() else h


def halved(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if x.dtype is torch.bfloat16 else h


def strided(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if not x.is_contiguous() else h


def formatted(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if f"{list(x.shape)}".startswith("[8,") else h


def looked_up(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return {8: turned}.get(x.numel() // 12, lambda one: one)(h)


def large_peak(_: nn.Module, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if x.abs().max().item() > 8 else h


def counted(self: "Branching", _: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    self.calls += 1
    return turned(h) if self.calls > 2 else h


def drawn(_: nn.Module, __: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return turned(h) if random.random() < 0.5 else h


BRANCHES = [
    one_sample, many_samples, large_peak, counted, drawn, recorded, halved, strided, formatted, looked_up,
]  # fmt: skip


def verified(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Verification:
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    assert mask.any()
    made = cut(model, analysis, mask, inputs)
    return finish(verify(model, made.model, analysis, mask, inputs, factors=made.factors))


@pytest.mark.parametrize("branch", BRANCHES, ids=lambda one: one.__name__)
def test_a_cut_that_is_wrong_on_another_path_is_refused(branch: Branch) -> None:
    torch.manual_seed(0)
    result = verified(Branching(branch).eval(), (torch.randn(4, 12),))
    assert not result.passed
    with pytest.raises(VerificationError, match="failed verification"):
        require_verified(result)


@pytest.mark.parametrize("branch", BRANCHES, ids=lambda one: one.__name__)
def test_a_branch_that_a_cut_does_not_touch_is_verified_on_both_sides(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "turned", lambda h: 2 * h)
    torch.manual_seed(0)
    result = verified(Branching(branch).eval(), (torch.randn(4, 12),))
    assert result.passed


def test_a_longer_sequence_takes_another_path() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv1d(3, 16, 3, padding=1), nn.Conv1d(16, 5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            return self.second(h.flip(1) if x.shape[-1] > 16 else h)

    torch.manual_seed(0)
    result = verified(Long().eval(), (torch.randn(2, 3, 12),))
    wrong = next(one for one in result.checks if not one.passed)
    assert "size 17" in str(wrong.detail)


def test_values_that_the_code_reads_are_named_as_not_varied() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(12, 16), nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.sigmoid(self.first(x))
            return self.second(h.flip(1) if h.max() > 1.5 else h)

    torch.manual_seed(0)
    result = verified(Hidden().eval(), (torch.randn(4, 12),))
    assert result.passed
    assert any("tensor values" in str(one) for one in result.unvaried)


class Optional(nn.Module):
    """Rows [N, 12] through two layers, with arguments that change the way."""

    def __init__(self, wrong: str = "") -> None:
        super().__init__()
        self.first, self.second, self.wrong = nn.Linear(12, 16), nn.Linear(16, 5), wrong

    def forward(
        self,
        x: torch.Tensor,
        scale: torch.Tensor | None = None,
        turn: bool = False,
        repeats: int = 1,
        factor: float = 1.0,
        mode: str = "plain",
        features: bool = False,
        targets: torch.Tensor | None = None,
        names: list[str] | None = None,
    ) -> Any:
        h = torch.relu(self.first(x))
        taken = {"scale": scale is None, "turn": turn, "repeats": repeats > 1, "factor": factor > 1}
        taken["targets"] = targets is not None
        h = turned(h) if taken.get(self.wrong) else h
        out = self.second(h)
        return (out, h) if features else out


def test_arguments_are_varied_and_what_has_no_other_value_is_named() -> None:
    torch.manual_seed(0)
    result = verified(Optional().eval(), (torch.randn(4, 12), torch.ones(4, 1)))
    assert result.passed
    covered = [str(one) for one in result.covered]
    assert {"scale=None", "turn=True", "repeats=2", "factor=2.0", "features=True", "targets=ones"} <= {*covered}
    assert "arguments mode, names" in [str(one) for one in result.unvaried]


@pytest.mark.parametrize("wrong", ["scale", "turn", "repeats", "factor", "targets"])
def test_a_cut_that_is_wrong_for_another_argument_is_refused(wrong: str) -> None:
    torch.manual_seed(0)
    result = verified(Optional(wrong).eval(), (torch.randn(4, 12), torch.ones(4, 1)))
    failed = next(one for one in result.checks if not one.passed)
    assert wrong in str(failed.detail)


def test_what_the_original_refuses_is_named_with_its_reason() -> None:
    class Strict(Branching):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] > 4:
                raise ValueError("at most four rows")
            return super().forward(x)

    torch.manual_seed(0)
    result = verified(Strict(lambda _, x, h: h).eval(), (torch.randn(3, 12),))
    assert result.passed
    assert "batch of 8 (the original does not run: at most four rows)" in [str(one) for one in result.unvaried]


def test_noise_stays_within_the_range_of_the_example() -> None:
    class Unit(Branching):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.min() < 0 or x.max() > 1:
                raise ValueError("numbers from 0 to 1 are expected")
            return super().forward(x)

    torch.manual_seed(0)
    result = verified(Unit(lambda _, x, h: h).eval(), (torch.rand(3, 12),))
    assert result.passed and "batch of 1" in [str(one) for one in result.covered]
    assert not any("batch of" in str(one) for one in (*result.skipped, *result.unvaried))


def test_flags_words_and_variables_that_the_code_reads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAST_ATTENTION", "1")

    class Configured(Branching):
        def __init__(self) -> None:
            super().__init__(lambda _, x, h: h)
            self.activation, self.unread = "relu", "never read"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if os.environ.get("FAST_ATTENTION") == "1" and self.activation == "relu":
                return super().forward(x)
            return super().forward(x).flip(1)

    torch.manual_seed(0)
    result = verified(Configured().eval(), (torch.randn(3, 12),))
    unvaried = [str(one) for one in result.unvaried]
    assert "attributes activation" in unvaried and "environment variables FAST_ATTENTION" in unvaried


def test_a_forward_that_remembers_is_called_in_a_row_and_its_memory_is_named() -> None:
    torch.manual_seed(0)

    def remembered(self: Branching, _: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return h

    model = Branching(remembered).eval()
    result = verified(model, (torch.randn(4, 12),))
    assert result.passed and [one.name for one in result.checks if one.name == IN_A_ROW]
    assert [str(one) for one in result.skipped if "changes calls" in str(one)]
    assert model.calls == 0


@pytest.mark.parametrize("late", [False, True], ids=["at once", "from the second call on"])
def test_the_original_runs_all_calls_in_a_row_only_where_the_first_shows_no_removal(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    def remembered(self: Branching, _: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return h * 0 if late and self.calls == 1 else h

    runs: list[tuple[int, tuple[str, ...]]] = []
    real = CutVerification._run

    def counted(self: CutVerification, case: Any, **how: Any) -> Any:
        runs.append((len(case.calls), tuple(name for name in ("masked", "cut") if how.get(name))))
        return real(self, case, **how)

    monkeypatch.setattr(CutVerification, "_run", counted)
    torch.manual_seed(0)
    made = next(
        one for one in verified(Branching(remembered).eval(), (torch.randn(4, 12),)).checks if one.name == IN_A_ROW
    )
    assert made.passed and made.conclusive
    assert ((IN_TURN, ()) in runs) is late and (IN_TURN, ("masked",)) in runs and (IN_TURN, ("cut",)) in runs


class WithFlag(nn.Module):
    """Rows [N, 12] through two layers, with what `flag` does between them."""

    def __init__(self, branch: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.branch = nn.Linear(12, 16), nn.Linear(16, 5), branch

    def forward(self, x: torch.Tensor, flag: bool = False) -> torch.Tensor:
        h = torch.relu(self.first(x))
        return self.second(self.branch(h) if flag else h)


def of_flag(branch: Callable[[torch.Tensor], torch.Tensor]) -> Verification:
    torch.manual_seed(0)
    return verified(WithFlag(branch).eval(), (torch.randn(3, 12),))


def test_an_argument_with_which_the_cut_model_raises_is_named_and_refuses_nothing() -> None:
    found = of_flag(lambda h: h + torch.arange(16.0))
    assert found.passed
    named = [str(one) for one in found.unvaried if str(one).startswith("flag=True")]
    assert len(named) == 1 and "not to be used after the cut: the cut model raises" in named[0]


def test_an_argument_with_which_the_cut_model_is_silently_wrong_refuses_the_cut() -> None:
    assert not of_flag(turned).passed


def test_code_that_refuses_marks_for_one_argument_is_compared_strictly_for_the_rest() -> None:
    def finite(h: torch.Tensor) -> torch.Tensor:
        if not all(number == number for number in h.detach().flatten().tolist()):
            raise ValueError("not a number")
        return torch.nn.functional.layer_norm(h, h.shape[-1:])

    found = of_flag(finite)
    assert found.passed and not any("zeros stood" in str(one) for one in found.skipped)
    assert any(str(one).startswith("flag=True") and "zeros stood" in str(one) for one in found.unvaried)

"""What trial cuts have shown makes the next cut short, and is never trusted."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analysis import NO_KNOWN_REPAIRS, Analysis, KnownRepairs
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut import trial_cuts as settling
from secateur.engine.surgery.cut.cut import TrialCut, cut
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.repair.audit import Auditor
from secateur.engine.surgery.verify.verify import verify
from tests.benchmarks.breadth.cell import halves


class Heads(nn.Module):
    """Attention that remembers its heads and writes its width into the code; needs both kinds of repair."""

    def __init__(self, picky: bool = False) -> None:
        super().__init__()
        self.heads, self.qkv, self.out, self.picky = 4, nn.Linear(9, 3 * 4 * 6), nn.Linear(4 * 6, 8), picky
        self.up, self.head, self.rows = nn.Linear(8, 14), nn.Linear(14, 3), 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.rows == 4  # as many as heads, and no heads
        q, k, v = self.qkv(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2).chunk(3, -1)
        mixed = ((q @ k.mT).softmax(-1) @ v).transpose(1, 2).reshape(-1, 24)
        y = torch.tanh(self.up(torch.tanh(self.out(mixed))))
        if self.picky and y.shape[-1] != 14:
            raise ValueError("14, please")
        return self.head(y)


INPUTS = (torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)),)


@pytest.fixture
def audits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each audit whether it passed."""
    seen: list[bool] = []
    real = Auditor.__call__

    def counted(self: Auditor, *args: Any, **given: Any) -> Any:
        found = real(self, *args, **given)
        seen.append(found.passed)
        return found

    monkeypatch.setattr(Auditor, "__call__", counted)
    return seen


def settled(model: nn.Module) -> Analysis:
    return finish(settle(model, INPUTS, name="heads"))


def halved(model: nn.Module, analysis: Analysis) -> Edits:
    """Repairs of a cut to half, which is verified."""
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed
    return made.edits


def test_a_cut_after_the_trials_takes_the_repairs_that_these_found(audits: list[bool]) -> None:
    torch.manual_seed(0)
    model = Heads().eval()
    analysis = settled(model)
    searched = halved(model, replace(analysis, known=NO_KNOWN_REPAIRS))
    audits.clear()
    assert halved(model, analysis) == searched and searched.literals and ("", "heads", 2) in searched.attributes
    assert audits == [False, True, True]  # as it is; all repairs at once; which of the numbers are needed


def test_a_quarter_takes_the_sizes_of_a_quarter(audits: list[bool]) -> None:
    torch.manual_seed(0)
    model = Heads().eval()
    analysis = settled(model)
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first : one.first + one.count // 4] = True
    audits.clear()
    made = cut(model, analysis, mask, INPUTS)
    assert ("", "heads", 3) in made.edits.attributes and audits.count(False) == 1


def test_a_wrong_guess_is_undone(audits: list[bool]) -> None:
    torch.manual_seed(0)
    model = Heads().eval()
    analysis = settled(model)
    heads = next(one[2][0] for one in analysis.known.attributes if one[:2] == ("", "heads"))
    wrong = KnownRepairs((*analysis.known.attributes, ("", "rows", (heads,))), analysis.known.literals)
    audits.clear()
    assert halved(model, replace(analysis, known=wrong)) == halved(model, replace(analysis, known=NO_KNOWN_REPAIRS))
    assert audits[:2] == [False, False]


def test_what_a_round_has_shown_is_known_in_the_next(audits: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    known: list[bool] = []
    real = settling.try_cut

    def seen(model: nn.Module, transition: Transition, *rest: Any) -> TrialCut:
        known.append(bool(transition.analysis.known.attributes))
        return real(model, transition, *rest)

    monkeypatch.setattr(settling, "try_cut", seen)
    analysis = settled(Heads(picky=True).eval())
    assert not any(one.name.startswith("up") for one in analysis.sets)
    assert known[0] is False and known[-1] is True


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("transformers_models", "MistralForCausalLM"),
        ("transformers_models", "ConvBertForMaskedLM"),
        ("timm_models", "hiera_tiny_224"),
    ],
)
def test_what_some_sets_alone_have_needed_is_not_put_into_a_cut_of_all(library: str, name: str) -> None:
    pytest.importorskip(library.removesuffix("_models"))
    torch.manual_seed(0)
    subject = import_module(f"tests.benchmarks.breadth.{library}").subject(name)
    model, inputs = subject.make().eval(), subject.inputs()
    analysis = finish(settle(model, inputs, name=name))
    widths, _ = halves(analysis)
    searched, learned = (
        cut(model, replace(analysis, known=known), widths, inputs).edits for known in (NO_KNOWN_REPAIRS, analysis.known)
    )
    assert analysis.known.literals and not searched.literals
    assert learned == searched

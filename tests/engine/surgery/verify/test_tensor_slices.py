"""What no forward reaches is compared all the same: tensors with slices, attributes and hooks with the original's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import VerificationError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut import cut as cut_module
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import TENSORS, TRAINING, Check
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify import tensor_slices
from secateur.engine.surgery.verify.tensor_slices import compare_tensors
from secateur.engine.surgery.verify.verify import require_verified, verify
from tests.engine.nets import Residual, image

WORDS = (torch.tensor([[1, 2, 3], [3, 2, 1]]),)


def seen(gradient: torch.Tensor) -> None:
    """A hook of a tensor."""


class Reader(nn.Module):
    """Embeds [N, T] words, a few of a hundred; two layers, a norm and an output whose weight is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 16, padding_idx=0)
        self.inner, self.back, self.norm = nn.Linear(16, 24), nn.Linear(24, 16), nn.BatchNorm1d(16, momentum=0.3)
        self.out = nn.Linear(16, 100)
        self.out.weight = self.embed.weight
        self.unread = nn.Buffer(torch.randn(16), persistent=False)
        self.inner.bias.requires_grad_(False)
        self.back.weight.register_hook(seen)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.back(torch.relu(self.inner(self.embed(words))))
        return self.out(self.norm(x.transpose(1, 2)).transpose(1, 2))


def checked(model: nn.Module, inputs: Any, break_it: Callable[[Any], object]) -> Check:
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    break_it(made.model)
    transition = Transition(analysis, analysis.empty(), mask)
    return compare_tensors(model, made.model, transition, made.factors, made.edits, NeverCancelled())


def untie(model: Any) -> None:
    model.out.weight = nn.Parameter(model.out.weight.detach().clone())


BROKEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "a row that is not read": (lambda m: m.embed.weight.data[50].mul_(1.5), "embed.weight"),
    "0 in place of -0": (lambda m: m.norm.bias.data.copy_(-m.norm.bias.data), "norm.bias"),
    "a buffer that nothing reads": (lambda m: m.unread.add_(1), "unread"),
    "a missing tensor": (lambda m: setattr(m.inner, "bias", None), "inner.bias"),
    "a tensor more": (lambda m: m.inner.register_buffer("more", torch.ones(1)), "inner.more"),
    "another type": (lambda m: m.norm.double(), "dtype"),
    "a longer tensor": (lambda m: setattr(m.inner, "bias", nn.Parameter(torch.zeros(24), False)), "shape"),
    "an untied weight": (untie, "no longer tied"),
    "a trained bias": (lambda m: m.inner.bias.requires_grad_(True), "requires_grad"),
    "another momentum": (lambda m: setattr(m.norm, "momentum", 0.1), "norm.momentum"),
    "another padding": (lambda m: setattr(m.embed, "padding_idx", 1), "embed.padding_idx"),
    "a hook more": (lambda m: m.inner.register_forward_hook(lambda *_: None), "inner._forward_hooks"),
    "a tensor's hook lost": (lambda m: m.back.weight._backward_hooks.clear(), "hooks of back.weight"),
    "a module in training mode": (lambda m: m.norm.train(), "another mode"),
    "another method": (lambda m: setattr(m.inner, "forward", m.inner.forward), "inner.forward"),
    "a size that is not the repair's": (lambda m: setattr(m.inner, "out_features", 11), "inner.out_features"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_forward_shows_is_found_and_named(name: str) -> None:
    torch.manual_seed(0)
    break_it, named = BROKEN[name]
    assert checked(Reader().eval(), WORDS, lambda _: None).passed
    found = checked(Reader().eval(), WORDS, break_it)
    assert found.name == TENSORS and not found.passed
    assert named in str(found.detail)


def test_a_fault_that_shows_nowhere_else_is_refused() -> None:
    torch.manual_seed(0)
    model = Reader().eval()
    analysis = analyse(model, WORDS)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, WORDS)
    unread = made.model.get_buffer("unread")
    unread.copy_(unread.flip(0))
    result = finish(verify(model, made.model, analysis, mask, WORDS, edits=made.edits))
    assert [one.name for one in result.checks if not one.passed] == [TENSORS, TRAINING]
    with pytest.raises(VerificationError, match=r"entries of unread are not the original's"):
        require_verified(result)


def test_long_tensors_are_compared_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    sizes: list[int] = []
    right = tensor_slices._bits  # pyright: ignore[reportPrivateUsage]

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return right(tensor)

    monkeypatch.setattr(tensor_slices, "CHUNK", 64)
    monkeypatch.setattr(tensor_slices, "_bits", noted)
    assert checked(Residual().eval(), image(), lambda _: None).passed
    assert max(sizes) <= 400  # a row of the longest dimension may have more

    def last(model: Any) -> None:
        model.hidden.weight.data[-1, -1] += 1e-6

    found = checked(Residual().eval(), image(), last)
    assert str(found.detail).startswith("1 of ") and "hidden.weight" in str(found.detail)


def test_nan_in_weights_equals_itself() -> None:
    torch.manual_seed(0)
    model = Reader().eval()
    model.embed.weight.data[50, 3:] = float("nan")
    assert checked(model, WORDS, lambda _: None).passed


def test_a_cutter_that_keeps_other_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    right = cut_module.slice_tensor

    def other_rows(tensor: torch.Tensor, keeps: Any, blank: bool = False) -> torch.Tensor:
        wrong = tensor.shape[:1] == (100,)
        return right(tensor, [(one + 1) % 16 if wrong and one is not None else one for one in keeps], blank)

    monkeypatch.setattr(cut_module, "slice_tensor", other_rows)
    assert not checked(Reader().eval(), WORDS, lambda _: None).passed

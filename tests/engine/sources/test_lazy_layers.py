"""Lazy layers get their sizes when a model is opened; where they cannot, a sentence says what to do."""

from pathlib import Path

import pytest
import torch

from secateur.engine.errors import OpenError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.session.session import Session
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.workflows.export import export_state

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spare=False):
        super().__init__()
        self.calls = 0
        self.conv, self.norm, self.last = nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(3)
        self.spare = nn.LazyLinear(2) if spare else None

    def forward(self, x):
        self.calls += 1
        return self.last(self.norm(self.conv(x)).relu().flatten(1))


def make():
    return Net()


def spare():
    return Net(True)


def program():
    inner = nn.Linear(4, 3).eval()
    return nn.Sequential(torch.export.export(inner, (torch.randn(2, 4),)).module(), nn.Linear(3, 2))
"""
SHAPE = (2, 1, 8, 8)


@pytest.fixture
def code(tmp_path: Path) -> str:
    (tmp_path / "lazy.py").write_text(CODE)
    return str(tmp_path / "lazy.py")


def test_layers_get_their_sizes_and_the_model_has_not_run(code: str) -> None:
    opened = open_model(ModelSpec(f"{code}:make", input_shape=SHAPE), NeverCancelled())
    model, again = opened.model, opened.factory()
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == {
        "conv.weight": (8, 1, 3, 3), "conv.bias": (8,), "norm.weight": (8,), "norm.bias": (8,),
        "last.weight": (3, 8 * 36), "last.bias": (3,),
    }  # fmt: skip
    assert (type(model.conv), model.conv.in_channels, model.calls) == (torch.nn.Conv2d, 1, 0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not model.conv._forward_pre_hooks


def test_a_checkpoint_fits(code: str, tmp_path: Path) -> None:
    state = {
        n: torch.randn_like(t)
        for n, t in open_model(ModelSpec(f"{code}:make", input_shape=SHAPE)).model.state_dict().items()
        if t.is_floating_point()
    }
    torch.save(state, tmp_path / "weights.pt")
    spec = ModelSpec(f"{code}:make", input_shape=SHAPE, weights=str(tmp_path / "weights.pt"))
    loaded = open_model(spec, NeverCancelled()).model.state_dict()
    assert all(torch.equal(loaded[name], one) for name, one in state.items())


def test_the_whole_road_is_open_to_it(code: str, tmp_path: Path) -> None:
    session = Session(tmp_path / "session")
    finish(session.open(ModelSpec(f"{code}:make", input_shape=SHAPE)))
    made = finish(session.cut("s0", trial_mask(session.analysis)))
    exported = finish(export_state(session, made.id, "pytorch", str(tmp_path / "small")))
    session.close()
    assert made.verification is not None and made.verification.passed
    assert exported.difference is not None and exported.difference < 1e-4


@pytest.mark.parametrize(
    ("maker", "shape", "error", "sentence"),
    [
        ("make", (), "open.lazy", r"get their sizes from the first input\. Enter the input shape"),
        ("make", (2, 1, 1, 1), "open.lazy_failed", r"fails on an input of 2x1x1x1.*in the function that builds it"),
        ("spare", SHAPE, "open.lazy_unused", r"2x1x8x8 does not reach \(spare\.weight\)"),
        ("program", (2, 4), "source.program", r"a torch\.export program.*Open the Python class"),
    ],
)
def test_a_sentence_says_what_to_do(code: str, maker: str, shape: tuple[int, ...], error: str, sentence: str) -> None:
    with pytest.raises(OpenError, match=sentence) as caught:
        open_model(ModelSpec(f"{code}:{maker}", input_shape=shape), NeverCancelled())
    assert caught.value.message.code == error

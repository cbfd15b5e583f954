"""Programs of torch.export: opened as they compute, with consent, and cut."""

from pathlib import Path

import pytest
import torch

from secateur.engine.errors import OpenError
from secateur.engine.jobs import NeverCancelled
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec

from .onnx_nets import ConvNet


def test_a_program_computes_here_what_it_computed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = ConvNet().eval(), torch.randn(2, 3, 16, 16)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "net.pt2")
    spec = ModelSpec(str(tmp_path / "net.pt2"), trust_pickle=True)
    opened = open_model(spec, NeverCancelled())
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(opened.model(x).detach(), net(x).detach(), rtol=1e-4, atol=1e-5)
    assert "head.weight" in dict(opened.model.named_parameters())
    sizes = next(str(one) for one in opened.notes if one.code == "program.sizes")
    assert "x: Nx3x16x16" in sizes


def test_a_program_is_not_loaded_without_consent(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"anything")
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(tmp_path / "net.pt2")))
    assert caught.value.message.code == "program.pickle"
    with pytest.raises(OpenError, match="damaged"):
        open_model(ModelSpec(str(tmp_path / "net.pt2"), trust_pickle=True))

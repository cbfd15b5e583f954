"""What was quantised has nothing to remove, and says so; the rest of such a model has."""

import pytest
import torch
from torch import nn

from secateur.engine.structures.analyse import analyse


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
def test_quantised_layers_are_named_and_others_can_be_cut() -> None:
    parts = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4))
    plain = analyse(parts.eval(), (torch.randn(2, 3, 4, 4),))
    quantise = torch.ao.quantization.quantize_dynamic  # pyright: ignore[reportDeprecated] - what people still use
    quantised = quantise(parts, {nn.Linear}, torch.qint8)
    found = analyse(quantised.eval(), (torch.randn(2, 3, 4, 4),))
    (note,) = (one for one in found.notes if one.code == "note.packed")
    assert "2 layers are quantised (3 and others)" in str(note)
    assert not plain.notes and {one.count for one in plain.sets} == {8, 16}
    assert found.tensors[0].name == "0.weight"

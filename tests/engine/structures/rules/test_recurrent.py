"""Recurrent layers and cells: a unit has a row in every gate, its column in the recurrent weight, and its state."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import PlanError
from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import bundle_of
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.verify.verify import verify

from .between import Rows, features, sequences
from .proof import prove


class Last(nn.Module):
    """A recurrent layer of which the last result counts."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(8, 6, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0][-1]


class Step(nn.Module):
    """Two cells, one step each."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(8, 6), nn.GRUCell(8, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros = x.new_zeros(len(x), self.lstm.hidden_size)
        return self.lstm(x, (zeros, zeros))[0] + self.gru(x)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(("kind", "options"), [
    ("LSTM", {}), ("LSTM", {"num_layers": 2, "bidirectional": True}), ("LSTM", {"proj_size": 2, "bias": False}),
    ("GRU", {"num_layers": 2}), ("GRU", {"bidirectional": True}), ("RNN", {}),
])  # fmt: skip
def test_units_of_a_layer_are_cut_in_all_layers_and_directions(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    width = options.get("proj_size", 6) * (2 if "bidirectional" in options else 1)
    analysis = prove(Rows(Last(kind, **options), 8, width), sequences(), "between.layer.weight_ih_l0")
    units = next(s for s in analysis.sets if s.kind is Kind.UNIT)
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(units.first + 2)}
    assert units.count == 6 and found["between.layer.weight_hh_l0", 0] == [2 + 6 * gate for gate in range(gates)]


def test_units_of_cells_are_cut() -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Step(), 8, 6), features(), "between.lstm.weight_ih", "between.lstm.weight_hh:1")
    assert {s.kind for s in analysis.sets} == {Kind.NEURON, Kind.UNIT}


class Normed(nn.Module):
    """A recurrent layer whose results are normalised over their units."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 6, batch_first=True, bidirectional=True, **options)
        self.norm = nn.LayerNorm(2 * options.get("proj_size", 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x)[0])


def test_a_norm_over_units_runs_over_those_that_remain() -> None:
    torch.manual_seed(0)
    prove(Rows(Normed(), 8, 12), sequences(), "between.norm.weight", "between.layer.weight_hh_l0:1")


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projection_stays_narrower_than_its_layer() -> None:
    torch.manual_seed(0)
    model, inputs = Rows(Normed(proj_size=2), 8, 4).eval(), sequences()
    analysis = analyse(model, inputs)
    (one,) = (s for s in analysis.sets if s.kind is Kind.UNIT)
    bundle = bundle_of(analysis, analysis.sets.index(one))
    assert (one.count, bundle.most) == (6, 3)
    mask = analysis.empty()
    mask[one.first :][:3] = True
    made = cut(model, analysis, mask, inputs)
    assert finish(verify(model, made.model, analysis, mask, inputs)).passed
    mask[one.structures] = np.arange(6) < 4
    with pytest.raises(PlanError, match="at least 3 units must stay"):
        cut(model, analysis, mask, inputs)

"""What stands at tokens that only fill up a batch changes no score, no repair and no distance between blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.inference.model_inputs import filled
from secateur.engine.jobs import finish
from secateur.engine.recovery.features import Features
from secateur.engine.recovery.least_squares import reconstruct
from secateur.engine.recovery.protocol import Repair
from secateur.engine.scoring.criteria import CRITERIA, score
from secateur.engine.scoring.protocol import Needs
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.scoring.given_task import GivenTask

READING = [name for name, one in CRITERIA.items() if one.needs is not Needs.NOTHING and name != "ablation"]
LENGTHS = (7, 3, 5, 2, 6, 7, 4, 1)


class Block(nn.Module):
    """A layer of two, on a stream of tokens."""

    def __init__(self) -> None:
        """Eight features, twelve between."""
        super().__init__()
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Add to [N, T, 8]."""
        return x + self.down(torch.relu(self.up(x)))


class Encoder(nn.Module):
    """torch's own layer: within its attention time comes first."""

    def __init__(self) -> None:
        """Two heads."""
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Map [N, T, 8] to the same."""
        return self.layer(x, src_key_padding_mask=~there)


class Recurrent(nn.Module):
    """An LSTM, which runs over time."""

    def __init__(self) -> None:
        """As wide as the stream."""
        super().__init__()
        self.layer = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: Tensor, _there: Tensor) -> Tensor:
        """Map [N, T, 8] to the same."""
        return self.layer(x)[0]


class TimeFirst(nn.Module):
    """A layer of two on [T, N, 8]."""

    def __init__(self) -> None:
        """As `Block`."""
        super().__init__()
        self.layer = Block()

    def forward(self, x: Tensor, _there: Tensor) -> Tensor:
        """Map [N, T, 8] to the same."""
        return self.layer(x.transpose(0, 1)).transpose(0, 1)


class Reader(nn.Module):
    """Classes of texts by the mean of their tokens; token 0 fills up."""

    def __init__(self, padding: float, middle: Callable[[], nn.Module] | None = None) -> None:
        """Fill up with vectors of this size."""
        super().__init__()
        torch.manual_seed(0)
        self.middle = None if middle is None else middle()
        self.tokens, self.blocks, self.head = (
            nn.Embedding(9, 8),
            nn.ModuleList(Block() for _ in range(3)),
            nn.Linear(8, 3),
        )
        with torch.no_grad():
            self.tokens.weight[0] = padding * torch.randn(8, generator=torch.Generator().manual_seed(1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map [N, T] to [N, 3]."""
        x = self.tokens(input_ids)
        x = x if self.middle is None else self.middle(x, attention_mask != 0)
        for block in self.blocks:
            x = block(x)
        there = attention_mask[:, :, None].to(x)
        return self.head((x * there).sum(1) / there.sum(1))


class Texts(GivenTask):
    """Texts of several lengths, filled up."""

    def __init__(self) -> None:
        """Draw them."""
        tokens = torch.randint(1, 9, (len(LENGTHS), 7), generator=torch.Generator().manual_seed(2))
        super().__init__(torch.where(torch.arange(7) < torch.tensor(LENGTHS)[:, None], tokens, 0), 3)

    def inputs(self, batch: Any) -> Any:
        """By name, with their mask."""
        return {"input_ids": batch[0], "attention_mask": (batch[0] != 0).long()}

    def example_inputs(self) -> Any:
        """Two texts, none of them filled up."""
        return {"input_ids": torch.ones(2, 7, dtype=torch.long), "attention_mask": torch.ones(2, 7, dtype=torch.long)}

    def loss(self, model: Any, batch: Any) -> Tensor:
        """Mean cross entropy."""
        return nn.functional.cross_entropy(model(**self.inputs(batch)), batch[1])


@pytest.mark.parametrize("middle", [None, Encoder, Recurrent, TimeFirst])
@pytest.mark.parametrize("criterion", READING)
def test_no_score_depends_on_what_fills_up(criterion: str, middle: type[nn.Module] | None) -> None:
    found: list[Any] = []
    for padding in (0.1, 50.0):
        model = Reader(padding, middle).eval()
        analysis = analyse(model, Texts().example_inputs())
        scores = finish(score(model, analysis, analysis.empty(), criterion, Texts()))
        width = np.zeros(analysis.count, bool)  # their scores hold the embedding of the token itself
        for one in analysis.sets:
            width[one.first : one.first + one.count] = one.kind is Kind.WIDTH
        found.append(scores[~width])
    assert np.isfinite(found[0]).any() or criterion == "gates"
    assert np.allclose(*found, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("middle", [None, TimeFirst])
@pytest.mark.parametrize("how", [Repair.BIAS, Repair.LEAST_SQUARES])
def test_no_repair_depends_on_what_fills_up(how: Repair, middle: type[nn.Module] | None) -> None:
    found: list[dict[str, Tensor]] = []
    for padding in (0.1, 50.0):
        model, inputs = Reader(padding, middle).eval(), Texts().example_inputs()
        analysis = analyse(model, inputs)
        mask = analysis.empty()
        for one in analysis.sets:
            if one.kind is Kind.NEURON:
                mask[one.first : one.first + 6] = True
        student = cut(model, analysis, mask, inputs).model
        result = finish(reconstruct(student, model, analysis.kept_indices(mask), Texts(), how)).sequential
        assert len(result.repaired) == (3 if middle is None else 4) and not result.left
        found.append({name: one for name, one in student.state_dict().items() if name != "tokens.weight"})
    assert all(torch.allclose(one, found[1][name], atol=1e-5) for name, one in found[0].items())


def test_no_distance_between_blocks_depends_on_what_fills_up() -> None:
    inputs = Texts().inputs(next(Texts().batches(Split.TRAIN)))
    found: list[Tensor | None] = []
    for padding in (0.1, 50.0):
        student, teacher = Reader(padding), Reader(padding)
        with torch.no_grad():
            student.get_parameter("blocks.1.up.weight").mul_(0.5)
        features = Features(student, teacher, {})
        with features.record():
            student(**inputs)
            teacher(**inputs)
        found.append(features.distance(filled(inputs)))
    assert found[0] is not None and found[1] is not None and torch.allclose(found[0], found[1])


def test_a_batch_without_filling_and_inputs_without_a_mask_count_whole() -> None:
    whole = torch.ones(2, 3)
    assert filled({"attention_mask": whole}) is None and filled({"x": whole}) is None and filled((whole,)) is None
    assert filled({"attention_mask": torch.tensor([[1, 0]])}).tolist() == [[True, False]]
    assert filled({"attention_mask": torch.tensor([[1, 0], [1, 1]])}) is None  # which size is which cannot be told
    assert filled({"attention_mask": torch.zeros(1, 2)}) is None  # no text at all: nothing would be left
    assert filled({"attention_mask": torch.zeros(1, 1, 2, 2)}) is None  # a mask of its own kind

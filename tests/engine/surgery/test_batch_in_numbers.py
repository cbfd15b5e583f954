"""Sizes in which code mixes the batch with heads: the cut model runs at every batch size."""

import json

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import apply_edits
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import CutModel, cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0)),)


class Written(nn.Module):
    """Attention over four heads of four, each with the batch in one axis; the numbers stand in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 5)

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """[N, L, H * D] -> [N * H, L, D]."""
        return x.transpose(1, 2).reshape(x.shape[0] * 4, 4, -1).transpose(1, 2)

    def together(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        """[N * H, L, D] -> [N, L, H * D]."""
        return x.transpose(1, 2).reshape(batch, 16, x.shape[1]).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.apart(layer(x)) for layer in (self.query, self.key, self.value))
        return self.out(self.together(torch.softmax(q @ k.mT, -1) @ v, x.shape[0]))


class Remembered(Written):
    """The same with attributes, over windows as long as there are heads: their size is no other after a cut."""

    def __init__(self) -> None:
        super().__init__()
        self.window, self.heads, self.size, self.width = 4, 4, 4, 16

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 2 * W, H * D] -> [N * H, 2, W, D]."""
        return x.mT.reshape(x.shape[0] * self.heads, self.size, 2, self.window).permute(0, 2, 3, 1)

    def together(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        return x.permute(0, 3, 1, 2).reshape(batch, self.width, -1).mT


def halved(model: nn.Module) -> CutModel:
    """Half of the heads and head dimensions go; verified at another batch size too."""
    analysis = analyse(model, INPUTS)
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.kind in (Kind.HEAD, Kind.HEAD_DIM)))
    made = cut(model, analysis, mask, INPUTS)
    result = finish(verify(model, made.model, analysis, mask, INPUTS))
    assert result.passed and any("other batches" in check.name for check in result.checks)
    return made


def test_a_written_number_with_the_batch_in_it_becomes_a_part_of_itself() -> None:
    torch.manual_seed(0)
    made = halved(Written().eval())
    assert (1, 2) in [value for *_, value in made.edits.literals]
    given = torch.randn(7, 3, 16)
    with torch.no_grad():
        apart = torch.cat([made.model(one[None]) for one in given])
        torch.testing.assert_close(made.model(given), apart)


def test_it_is_the_same_from_a_file_and_for_an_export() -> None:
    torch.manual_seed(0)
    made = halved(Written().eval())
    again = Written().eval()
    apply_edits(again, json.loads(json.dumps({"literals": made.edits.literals})))
    for name, tensor in made.model.named_parameters():
        again.get_parameter(name).data = tensor.data
    given = torch.randn(7, 8, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(given), made.model(given))
        program = torch.export.export(made.model, INPUTS, dynamic_shapes=(({0: torch.export.Dim("batch")},),))
        torch.testing.assert_close(program.module()(given), made.model(given))


def test_a_second_cut_halves_again() -> None:
    torch.manual_seed(0)
    model = Written().eval()
    analysis = analyse(model, INPUTS)
    heads = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    first, second = analysis.empty(), analysis.empty()
    first[heads.first : heads.first + 2] = second[heads.first : heads.first + 3] = True
    once = cut(model, analysis, first, INPUTS)
    twice = cut(once.model, analysis, second, INPUTS, before=first, edits=once.edits)
    assert finish(verify(once.model, twice.model, analysis, second, INPUTS, before=first)).passed
    assert (1, 4) in [value for *_, value in twice.edits.literals]
    assert twice.model(torch.randn(5, 8, 16)).shape == (5, 8, 5)


def test_attributes_follow_though_others_are_as_large() -> None:
    torch.manual_seed(0)
    made = halved(Remembered().eval())
    assert not made.edits.literals
    model = made.model
    assert [getattr(model, name) for name in ("window", "heads", "size", "width")] == [4, 2, 2, 4]


class Half(Remembered):
    """Its code writes the width of all heads together, and torch may work out any other size."""

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        return x.mT.reshape(x.shape[0] * self.heads, self.size, 2, self.window).permute(0, 2, 3, 1)

    def together(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        return x.permute(0, 3, 1, 2).reshape(batch, 16, -1).mT


def test_no_number_is_left_to_torch_that_attributes_give() -> None:
    torch.manual_seed(0)
    made = halved(Half().eval())
    assert [value for *_, value in made.edits.literals] == [4]

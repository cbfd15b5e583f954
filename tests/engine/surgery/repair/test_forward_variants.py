"""Other forms of a module's forward, which libraries put in its place: they give the same after a cut."""

from typing import Any

import torch
from torch import nn

from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut

IMAGES = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(1))


class Split(nn.Module):
    """As the C2f of YOLO: a number that the forward never reads, and others of the same size beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c = width
        self.cv1 = nn.Conv2d(3, 2 * width, 1)
        self.m = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))
        self.cv2 = nn.Conv2d(3 * width, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = list(self.cv1(x).chunk(2, 1))
        return self.cv2(torch.cat((*y, self.m(y[-1])), 1))

    def forward_split(self, x: torch.Tensor) -> torch.Tensor:
        y = list(self.cv1(x).split((self.c, self.c), 1))
        return self.cv2(torch.cat((*y, self.m(y[-1])), 1))

    def forward_other(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x) + self.c  # never what the forward gives: whatever it reads, nothing is taken from it


class Net(nn.Module):
    """Of such a block, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Split(16), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x).mean((2, 3)))


def test_a_number_that_only_another_form_of_the_forward_reads_follows_the_cut() -> None:
    torch.manual_seed(0)
    model = Net().eval()
    analysis = analyse(model, (IMAGES,))
    mask = analysis.empty()
    for one in analysis.sets:  # the halves keep ten channels, what is between the block's convolutions twelve
        gone = {"block.cv1": 6, "block.m.0": 4}.get(one.module, 0)
        mask[one.first : one.first + gone] = True
    done = cut(model, analysis, mask, (IMAGES,))
    block: Any = done.model.get_submodule("block")
    assert block.m[0].out_channels == 12 and block.cv1.out_channels == 20
    assert block.c == 10 and ("block", "c", 10) in done.edits.attributes
    x = IMAGES
    with torch.no_grad():
        torch.testing.assert_close(block.forward_split(x), block(x))

"""Parts of axes: slices, splits, indices by number, flips."""

import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.errors import VerificationError
from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.verify.verify import verify
from tests.engine.nets import image

from .between import Rows, features
from .proof import prove


class Parts(nn.Module):
    """Joined channels are taken apart again, where one convolution's ended."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 10, 1)
        self.first, self.second, self.head = nn.Conv2d(6, 8, 1), nn.Conv2d(10, 8, 1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(torch.cat([self.left(x), self.right(x)], 1))
        first, second = self.take(x)
        return self.head((self.first(first) + self.second(second)).mean((2, 3)))

    def take(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = self.left.out_channels
        return x[:, :at], x[:, at:]


class Sections(Parts):
    """The same by sizes."""

    def take(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = x.split([self.left.out_channels, self.right.out_channels], 1)
        return first, second


class Written(Parts):
    """The same, written into a tensor part by part."""

    def take(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = super().take(x)
        y = torch.zeros_like(x)
        y[:, : first.shape[1]] = first
        y[:, first.shape[1] :] += second
        return super().take(y)


def test_a_slice_and_a_section_have_the_labels_that_they_take() -> None:
    for net in (Parts, Sections, Written):
        analysis = prove(net(), image(16), "left.weight", "right.weight", "first.weight", "first.weight:1")
        right = next(s for s in analysis.sets if s.name == "right.weight")
        found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(right.first + 3)}
        assert found["second.weight", 1] == [3] and ("first.weight", 1) not in found


class Gated(nn.Module):
    """Some channels are taken one by one, as gates of whole maps (Yang et al. 2022, FocalNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(6, 6, 1), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        features, gates = x[:, : self.second.in_channels], x[:, self.second.in_channels :]
        for number in range(2):
            features = features * gates[:, number : number + 1]
        return self.head(self.second(features).mean((2, 3)))


def test_channels_that_are_taken_one_by_one_stay_and_those_beside_them_are_free() -> None:
    torch.manual_seed(0)
    analysis = prove(Gated(), image(16), "first.weight", "second.weight", "second.weight:1")
    fixed = [f for f in analysis.fixed if analysis.tensors[f.tensor].name == "first.weight" and f.dim == 0]
    assert {f.reason.code for f in fixed} == {"fixed.sliced"} and sum(f.count for f in fixed) == 2


class Rotated(nn.Module):
    """Every second channel is exchanged with the one before it, then all are turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 12), nn.Linear(12, 8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        turned = torch.stack([-x[:, 1::2], x[:, ::2]], -1).flatten(1)
        return self.head(torch.relu(self.second((x * 2 + turned).flip(1))))


def test_interleaved_pairs_go_as_pairs_and_a_flip_turns_the_labels() -> None:
    analysis = prove(Rotated(), (torch.randn(3, 9),), "first.weight", "second.weight")
    pairs = next(s for s in analysis.sets if s.name == "first.weight")
    assert pairs.count == 6
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(pairs.first)}
    assert found["first.weight", 0] == [0, 1] and found["second.weight", 1] == [10, 11]


class Biased(nn.Module):
    """A table of biases is read by position, one column a head; tokens are picked by number."""

    number: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 6))
        self.register_buffer("number", torch.arange(25) % 9, persistent=False)
        self.heads, self.hidden, self.out = nn.Linear(7, 6), nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = self.table[self.number].view(5, 5, -1).mean(0)
        x = torch.tanh(self.heads(x) + bias)
        last = (x[..., 0].detach() * 0).long().argmax(1) + 2
        picked = x[torch.arange(len(x)), last]
        gathered = x.gather(1, last.view(-1, 1, 1).expand(-1, 1, x.shape[-1]))[:, 0]
        return self.out(torch.relu(self.hidden(picked + gathered)))


def test_rows_read_by_number_stay_and_their_columns_are_free() -> None:
    analysis = prove(Biased(), (torch.randn(2, 5, 7),), "hidden.weight")
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["table", 0] == "fixed.sliced"


class Placed(nn.Module):
    """Features of the image stand in the text where it has places for them (Liu et al. 2023, LLaVA)."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.whole, self.text, self.image = whole, nn.Embedding(9, 8), nn.Linear(7, 8)
        self.out = nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        text, image = self.text(ids), torch.tanh(self.image(x))
        mask = (ids == 0).unsqueeze(-1).expand_as(text)
        if not self.whole:  # not every entry of a place
            mask = mask & (text > text.mean())
        return self.out(torch.relu(text.masked_scatter(mask, image)))


TEXT = (torch.tensor([[0, 0, 3, 5], [2, 0, 0, 7]]), torch.randn(4, 7, generator=torch.Generator().manual_seed(0)))


def test_what_stands_in_for_whole_rows_has_their_channels() -> None:
    torch.manual_seed(0)
    prove(Placed(whole=True), TEXT, "image.weight", "text.weight:1")
    assert not any(s.name == "image.weight" for s in analyse(Placed(whole=False), TEXT).sets)


class Mixed(nn.Module):
    """Features beside the image itself, as U-Nets and networks with coordinates join them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(11, 6, 3), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(torch.cat([x, F.relu(self.first(x))], 1)).mean((2, 3)))


def test_features_joined_with_the_input_are_free_and_the_input_stays() -> None:
    analysis = prove(Mixed(), image(16), "first.weight", "second.weight:1")
    fixed = next(f for f in analysis.fixed if analysis.tensors[f.tensor].name == "second.weight" and f.dim == 1)
    assert fixed.count == 3


def test_a_slice_that_would_begin_at_another_channel_is_repaired_or_refused() -> None:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(9, 16), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x))[:, 4:12]) * 2

    model, inputs = Middle().eval(), (torch.randn(2, 9),)
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    before = next(s for s in analysis.sets if (s.name, s.dim) == ("first.weight", 0) and s.count == 8)
    mask[before.first : before.first + 2] = True  # two that stand before the part: the shape of the part stays
    try:
        smaller = cut(model, analysis, mask, inputs).model
    except VerificationError as error:
        assert "aten.slice" in str(error)
    else:
        with torch.no_grad():
            torch.testing.assert_close(smaller(*inputs), model(*inputs))


def test_a_shorter_last_part_keeps_the_axis() -> None:
    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(9, 8), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b, c = self.first(x).split(3, 1)
            return self.second(a + b) + F.pad(self.second(F.pad(c, (0, 1))), (0, 0))

    analysis = analyse(Uneven(), (torch.randn(2, 9),))
    assert not analysis.sets


class Front(nn.Module):
    """The first channels only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :6]


def test_all_that_stands_behind_a_slice_goes_though_torch_then_sees_no_slice() -> None:
    torch.manual_seed(0)
    model, inputs = Rows(Front(), 8, 6).eval(), features()
    analysis = analyse(model, inputs)
    taken, behind = analysis.sets
    mask = analysis.empty()
    mask[taken.first] = mask[behind.structures] = True
    made = cut(model, analysis, mask, inputs)
    result = finish(verify(model, made.model, analysis, mask, inputs))
    assert result.passed
    assert made.model(*inputs).shape == (3, 4)

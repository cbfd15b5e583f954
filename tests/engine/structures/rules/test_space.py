"""Pooling, padding, sampling, patches, shuffles, views: channels pass, or go with all that they become."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from secateur.engine.structures.analysis import Kind

from .between import Between, Images, pictures
from .proof import prove

REGIONS = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 1.0, 5.0, 5.0]])


def repadded(x: torch.Tensor) -> torch.Tensor:
    for mode in ("circular", "reflect", "replicate"):
        x = F.pad(x, (1, 1, 1, 1), mode=mode)
    return x


def gated(x: torch.Tensor) -> torch.Tensor:
    value, gate = x.chunk(2, 1)
    return value * torch.sigmoid(gate)


def sampled(x: torch.Tensor) -> torch.Tensor:
    turn = torch.eye(2, 3).expand(x.shape[0], 2, 3).to(x)
    grid = F.affine_grid(turn, [x.shape[0], 1, 5, 5], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def with_coordinates(x: torch.Tensor) -> torch.Tensor:
    places = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")).to(x)
    return torch.cat([x, places.expand(x.shape[0], -1, -1, -1)], 1)


def turned(x: torch.Tensor) -> torch.Tensor:
    order = (0, 2, 3, 1)
    return x.as_strided([x.shape[n] for n in order], [x.stride(n) for n in order]).movedim(-1, 1)


def windows(x: torch.Tensor) -> torch.Tensor:
    """Rows in windows of four that overlap by two: [N, C, 3, 4, W], in the mean over each."""
    sizes, (batch, channel, row, column) = (*x.shape[:2], 3, 4, x.shape[3]), x.stride()
    return x.as_strided(sizes, (batch, channel, 2 * row, row, column)).mean(3)


CASES: dict[str, tuple[Between, int, int]] = {
    "pixel shuffle": (lambda x: F.pixel_shuffle(x, 2), 12, 3),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 2), 3, 12),
    "im2col": (lambda x: F.unfold(x, 3, padding=1).view(x.shape[0], -1, *x.shape[2:]), 4, 36),
    "col2im": (lambda x: F.fold(F.unfold(x, 2), x.shape[2:], 2), 8, 8),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), 6, 12),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), 6, 12),
    "glu": (lambda x: F.glu(x, 1), 12, 6),
    "chunk": (gated, 12, 6),
    "unpool": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), [2, 2]), 8, 8),
    "pools": (lambda x: F.lp_pool2d(x, 2, 2) + F.adaptive_max_pool2d(x, 4), 8, 8),
    "upsampling": (lambda x: F.interpolate(F.interpolate(x, scale_factor=2, mode="nearest-exact"), 9, mode="bicubic"),
                   8, 8),
    "pads": (repadded, 8, 8),
    "channels padded": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), 8, 11),
    "grid_sample": (sampled, 8, 8),
    "roi_align": (lambda x: torchvision.ops.roi_align(x, REGIONS.to(x), 3), 8, 8),
    "roi_pool": (lambda x: torchvision.ops.roi_pool(x, REGIONS.to(x), 3), 8, 8),
    "roll": (lambda x: torch.roll(x, (1, 1), (2, 3)).movedim(1, -1).movedim(-1, 1), 8, 8),
    "axes replaced in place": (lambda x: x.clone().unsqueeze_(1).squeeze_(1).transpose_(2, 3), 8, 8),
    "constants": (lambda x: torch.where(x > 0, x, torch.zeros_like(x)) + torch.full((1, x.shape[1], 1, 1), 0.5).to(x),
                  8, 8),
    "coordinates": (with_coordinates, 6, 8),
    "fourier": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 2, s=x.shape[2:]), 8, 8),
    "as_strided": (lambda x: x.as_strided(x.shape, x.stride()), 8, 8),
    "axes exchanged by strides": (turned, 6, 6),
    "windows by strides": (windows, 6, 6),
    "pooled beside channels": (lambda x: F.avg_pool2d(x.flatten(2).mT, (2, 1)).mT.unflatten(2, (4, 8)), 6, 6),
    "slopes": (nn.PReLU(8), 8, 8),
    "other activations": (lambda x: F.logsigmoid(F.rrelu(x)), 8, 8),
    "order in space": (lambda x: x.cummax(3)[0] + x.kthvalue(2, 3, keepdim=True)[0] * x.median(2, keepdim=True)[0]
                       + x.cumprod(2) + x.nansum(2, keepdim=True), 8, 8),
    "largest in space": (lambda x: x.topk(3, 3)[0], 8, 8),
    "noise": (lambda x: F.gumbel_softmax(x + torch.randn_like(x) * torch.rand_like(x), dim=3), 8, 8),
    "channels last": (lambda x: F.adaptive_avg_pool2d(x.to(memory_format=torch.channels_last), 1), 8, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_channels_pass_or_go_with_all_that_they_become(name: str) -> None:
    torch.manual_seed(0)
    between, makes, reads = CASES[name]
    prove(Images(between, makes, reads), pictures(), "first.weight")


@pytest.mark.parametrize("shuffle", [nn.ChannelShuffle(3), lambda x: F.channel_shuffle(x, 3)])
def test_both_factors_of_a_channel_shuffle_are_free(shuffle: Between) -> None:
    torch.manual_seed(0)
    analysis = prove(Images(shuffle, 12, 12), pictures(), "first.weight")
    assert sorted(s.count for s in analysis.sets if s.name == "first.weight") == [3, 4]


def test_a_pixels_channels_go_together() -> None:
    torch.manual_seed(0)
    analysis = prove(Images(lambda x: F.pixel_shuffle(x, 2), 12, 3), pictures())
    one = next(s for s in analysis.sets if s.kind is Kind.FILTER and s.name == "first.weight")
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(one.first + 1)}
    assert found["first.weight", 0] == [4, 5, 6, 7] and found["second.weight", 1] == [1]


def test_windows_over_channels_by_strides_keep_them() -> None:
    from secateur.engine.structures.analyse import analyse

    model = Images(lambda x: x.as_strided(x.shape, (x.stride(0), x.stride(1) // 2, x.stride(2), x.stride(3))), 8, 8)
    analysis = analyse(model, pictures())
    assert not any(s.name == "first.weight" for s in analysis.sets)


def test_places_in_a_pool_count_the_axis_that_they_lie_in() -> None:
    from secateur.engine.structures.analyse import analyse

    def places(x: torch.Tensor) -> torch.Tensor:
        largest, where = F.max_pool2d(x.flatten(2).mT, (2, 1), return_indices=True)
        return (largest * where).mT.unflatten(2, (4, 8))

    assert not any(s.name == "first.weight" for s in analyse(Images(places, 6, 6), pictures()).sets)


class Sampled(nn.Module):
    """Deformable attention in small: every head looks at points of its own in its own channels."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.points = nn.Conv2d(3, 12, 1), nn.Linear(3, 4 * 5 * 2)
        self.out = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, heads = x.shape[0], 4
        values = torch.tanh(self.value(x)).unflatten(1, (heads, -1)).flatten(0, 1)  # [N * heads, 3, H, W]
        grid = torch.tanh(self.points(x.mean((2, 3)))).view(n * heads, 5, 1, 2)
        seen = F.grid_sample(values, grid, align_corners=False).sum((2, 3))  # [N * heads, 3]
        return self.out(seen.view(n, -1))


def test_heads_that_sample_go_with_the_points_they_look_at() -> None:
    torch.manual_seed(0)
    prove(Sampled(), pictures(), "value.weight", "points.weight")

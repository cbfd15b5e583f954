"""Traps of single operators, each between two layers: on hidden rows [n, 16], or on hidden channels [n, 8, h, w]."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .programs import Plain
from .toy import Ended, conv, image, rows, toy

Function = Callable[[torch.Tensor], torch.Tensor]


class Between(nn.Module):
    """Two convolutions and the end; the toy says what happens to the eight channels in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.between(self.first(x)))))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def between(base: type[nn.Module], example: torch.Tensor) -> Callable[[Function], Function]:
    """A toy out of a function that keeps the shape; its name and docstring become the toy's."""

    def add(function: Function) -> Function:
        made: dict[str, object] = {"between": lambda _self, x: function(x), "__doc__": function.__doc__}
        toy(example)(type(function.__name__.title().replace("_", ""), (base,), {**made, "__module__": __name__}))
        return function

    return add


on_rows = between(Plain, rows())
on_channels = between(Between, image(8))


@on_rows
def top_channels(x: torch.Tensor) -> torch.Tensor:
    """Keeps the eight largest of each row, wherever they stand."""
    return x * (x >= x.topk(8, 1).values[:, -1:])


@on_rows
def hand_written_norm(x: torch.Tensor) -> torch.Tensor:
    """Divides by a root of a sum over a number of channels."""
    return x / (x.pow(2).sum(1, keepdim=True) / x.shape[1] + 1e-5).sqrt()


@on_rows
def unit_length(x: torch.Tensor) -> torch.Tensor:
    """Rows of length one."""
    return F.normalize(x, dim=1) * 4


@on_rows
def bare_layer_norm(x: torch.Tensor) -> torch.Tensor:
    """A layer norm without weights, its size from the input."""
    return F.layer_norm(x, x.shape[1:])


@on_rows
def spread(x: torch.Tensor) -> torch.Tensor:
    """Divides by an unbiased deviation over channels."""
    return x / (x.std(1, keepdim=True) + 0.1)


@on_rows
def pooled_channels(x: torch.Tensor) -> torch.Tensor:
    """Pools over neighbouring channels as if they were space."""
    return x + F.max_pool1d(x[:, None], 3, 1, 1)[:, 0]


@on_rows
def averaged_channels(x: torch.Tensor) -> torch.Tensor:
    """Averages pairs of channels and repeats the means."""
    return x + F.avg_pool1d(x[:, None], 2)[:, 0].repeat_interleave(2, 1)


@on_rows
def resampled_channels(x: torch.Tensor) -> torch.Tensor:
    """Interpolates linearly along channels."""
    return F.interpolate(F.interpolate(x[:, None], 8, mode="linear"), 16, mode="linear")[:, 0] + x


@on_rows
def shifted_channels(x: torch.Tensor) -> torch.Tensor:
    """Pads a channel in front and drops the last."""
    return x + F.pad(x, (1, 0))[:, :-1]


@on_rows
def repeated_halves(x: torch.Tensor) -> torch.Tensor:
    """Repeats the first half in place of the second."""
    return x + x[:, :8].repeat(1, 2)


@on_rows
def tiled_pairs(x: torch.Tensor) -> torch.Tensor:
    """Each of eight means of halves twice, next to each other."""
    return x * x.view(-1, 2, 8).mean(1).repeat_interleave(2, 1).sigmoid()


@on_rows
def gated_halves(x: torch.Tensor) -> torch.Tensor:
    """A gated linear unit, joined with itself."""
    y = F.glu(x, 1)
    return torch.cat([y, y.tanh()], 1)


@on_rows
def gathered(x: torch.Tensor) -> torch.Tensor:
    """Gathers channels by numbers in the code."""
    return x + x.gather(1, torch.arange(15, -1, -1).expand(len(x), -1))


@on_rows
def scattered(x: torch.Tensor) -> torch.Tensor:
    """Adds channels at numbers in the code."""
    return x.index_add(1, torch.tensor([0, 3]), x[:, :2] * 3)


@on_rows
def diagonal(x: torch.Tensor) -> torch.Tensor:
    """Multiplies by the diagonal of all products of channels."""
    return x + torch.einsum("ni,nj->nij", x, x).diagonal(dim1=1, dim2=2) / 4


@on_rows
def lower_triangle(x: torch.Tensor) -> torch.Tensor:
    """Weighs all products of channels by which comes first."""
    return x + (x[:, :, None] * x[:, None]).tril().sum(2) / 8


@on_rows
def among_themselves(x: torch.Tensor) -> torch.Tensor:
    """Attention of channels among themselves, a softmax over all of them."""
    return x + ((x[:, :, None] * x[:, None]).softmax(2) @ x[:, :, None])[..., 0]


@on_rows
def distances(x: torch.Tensor) -> torch.Tensor:
    """Weighs by the distance of each row to all others."""
    return x * torch.cdist(x, x).mean(1, keepdim=True) / 4


@on_rows
def whitened(x: torch.Tensor) -> torch.Tensor:
    """Multiplies by the inverse of the channels' own covariance."""
    return x @ torch.linalg.inv(x.mT @ x / len(x) + torch.eye(x.shape[1], dtype=x.dtype))


@on_rows
def one_hot_of_largest(x: torch.Tensor) -> torch.Tensor:
    """Adds one to whichever channel is largest."""
    return x + F.one_hot(x.argmax(1), 16)


@on_rows
def over_median(x: torch.Tensor) -> torch.Tensor:
    """Keeps what lies above the median of its row."""
    return torch.where(x > x.median(1, keepdim=True).values, x, x * 0.1)


@on_rows
def running_product(x: torch.Tensor) -> torch.Tensor:
    """Multiplies up over channels."""
    return x.sigmoid().cumprod(1) * 8


@on_rows
def strided(x: torch.Tensor) -> torch.Tensor:
    """Reads channels through strides of its own."""
    return x + x.contiguous().as_strided((len(x), 16), (16, 1), 0).flip(1)


@on_rows
def inner_products(x: torch.Tensor) -> torch.Tensor:
    """Weighs rows by their products with each other, divided by a root of the width."""
    return (x @ x.mT / x.shape[1] ** 0.5).softmax(1) @ x


@on_rows
def through_complex(x: torch.Tensor) -> torch.Tensor:
    """Pairs of channels turn as complex numbers."""
    turned = torch.view_as_complex(x.view(-1, 8, 2).contiguous()) * torch.polar(torch.ones(()), torch.ones(()))
    return torch.view_as_real(turned.to(torch.complex64)).flatten(1).to(x.dtype)


@on_rows
def sign_by_place(x: torch.Tensor) -> torch.Tensor:
    """Changes the sign of every second channel by slices."""
    return torch.cat([x[:, ::2], -x[:, 1::2]], 1)


@on_rows
def counted(x: torch.Tensor) -> torch.Tensor:
    """Scales by how many channels are positive."""
    return x * (x > 0).sum(1, keepdim=True) / 8


@on_rows
def any_and_all(x: torch.Tensor) -> torch.Tensor:
    """Takes another path in rows where any channel is large."""
    return torch.where((x > 1.5).any(1, keepdim=True), x.tanh(), x)


@on_rows
def masked_by_range(x: torch.Tensor) -> torch.Tensor:
    """Fills the channels behind a number in the code."""
    return x.masked_fill(torch.arange(16) >= 12, 0.5)


@on_channels
def native_shuffle(x: torch.Tensor) -> torch.Tensor:
    """Shuffles channels by torch's own operator."""
    return F.channel_shuffle(x, 4)


@on_channels
def shared_slope(x: torch.Tensor) -> torch.Tensor:
    """Groups of channels are normalised together without weights."""
    return F.group_norm(x, 4)


@on_channels
def space_to_channels(x: torch.Tensor) -> torch.Tensor:
    """Channels change places with rows of the image."""
    return x.transpose(1, 2).contiguous() + x


@on_channels
def joined_maps(x: torch.Tensor) -> torch.Tensor:
    """Adds the largest and the mean of all channels to each."""
    return x + torch.cat([x.amax(1, True), x.mean(1, True)], 1).sum(1, True)


@on_channels
def temporal_shift(x: torch.Tensor) -> torch.Tensor:
    """A part of the channels is taken from the neighbour in the batch."""
    y = torch.zeros_like(x)
    y[1:, :2] = x[:-1, :2]
    y[:, 2:] = x[:, 2:]
    return y


@on_channels
def overwritten(x: torch.Tensor) -> torch.Tensor:
    """Overwrites every third channel in place."""
    x = x.clone()
    x[:, ::3] = x[:, 1:4].tanh()
    return x


@on_channels
def split_by_sizes(x: torch.Tensor) -> torch.Tensor:
    """Three unequal parts, each treated otherwise and joined in another order."""
    a, b, c = x.split((1, 3, 4), 1)
    return torch.cat([c.tanh(), a, b.sigmoid()], 1)


@on_channels
def depth_in_batch(x: torch.Tensor) -> torch.Tensor:
    """A fixed blur over every channel as if it were a sample."""
    n, c, h, w = x.shape
    kernel = torch.full((1, 1, 3, 3), 1 / 9, dtype=x.dtype)
    return F.conv2d(x.reshape(-1, 1, h, w), kernel, padding=1).view(n, c, h, w)


@on_channels
def depth_by_groups(x: torch.Tensor) -> torch.Tensor:
    """A fixed blur in as many groups as there are channels."""
    kernel = torch.full((x.shape[1], 1, 3, 3), 1 / 9, dtype=x.dtype)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


@on_rows
def differences(x: torch.Tensor) -> torch.Tensor:
    """Subtracts each channel from the next one, so that all of them hang together."""
    return F.pad(x[:, 1:] - x[:, :-1], (0, 1))


@on_rows
def thirds(x: torch.Tensor) -> torch.Tensor:
    """Three nearly equal parts, whose sizes torch works out."""
    a, b, c = x.tensor_split(3, 1)
    return torch.cat([a[:, :5] * b, c, b, a[:, 5:]], 1)


@on_rows
def rounded(x: torch.Tensor) -> torch.Tensor:
    """Rounds as after quantisation, in training that knows of it."""
    return torch.fake_quantize_per_tensor_affine(x, 0.01, 0, -128, 127)


@on_channels
def moved_axes(x: torch.Tensor) -> torch.Tensor:
    """Channels move last, are unflattened, and come back by another way."""
    y = x.movedim(1, -1).unflatten(-1, (2, -1)).swapaxes(-1, -2)
    return y.swapaxes(-1, -2).flatten(-2).permute(0, 3, 1, 2)

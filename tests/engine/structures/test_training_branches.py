"""Branches that only training takes: auxiliary heads are understood, cut and verified; the model stays as it was."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse, record_runs
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(4, 3, 8, 8),)


class Auxiliary(nn.Module):
    """A second head on the way, in training only, with dropout and batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3)
        self.head, self.hidden, self.auxiliary = nn.Linear(6, 5), nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor):
        x = torch.relu(self.norm(self.first(x)))
        answer = self.head(self.second(x).mean((2, 3)))
        if not self.training:
            return answer
        hidden = nn.functional.dropout(torch.relu(self.hidden(x.mean((2, 3)))), 0.5)
        return answer, self.auxiliary(hidden)


def test_an_auxiliary_head_is_cut_along_and_verified_in_training_mode() -> None:
    model = Auxiliary().eval()
    before = copy.deepcopy(model.state_dict())
    analysis = analyse(model, INPUTS)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert not model.training
    assert {s.name for s in analysis.sets} == {"first.weight", "second.weight", "hidden.weight"}
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert made.model.get_parameter("hidden.weight").shape == (6, 4)
    result = finish(verify(model, made.model, analysis, mask, INPUTS))
    assert result.passed and "removal in training mode" in [c.name for c in result.checks]


def test_a_wrong_index_in_the_auxiliary_head_fails_verification() -> None:
    model = Auxiliary().eval()
    analysis = analyse(model, INPUTS)
    mask, other = analysis.empty(), analysis.empty()
    hidden = next(s for s in analysis.sets if s.name == "hidden.weight")
    mask[hidden.first : hidden.first + 3], other[hidden.first + 1 : hidden.first + 4] = True, True
    made = cut(model, analysis, mask, INPUTS)
    result = finish(verify(model, made.model, analysis, other, INPUTS))
    assert not result.passed and result.difference > 1e-3


class Quantizer(nn.Module):
    """VQ-VAE-2's: codes are averages of what was assigned to them, which only training keeps (1906.00446)."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.register_buffer("embed", torch.randn(6, 16))
        self.register_buffer("cluster_size", torch.ones(16))
        self.register_buffer("embed_avg", self.embed.clone())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = x.flatten(0, -2)
        distances = flat.square().sum(1, keepdim=True) - 2 * flat @ self.embed + self.embed.square().sum(0)
        codes = distances.argmin(1)
        found = functional.embedding(codes, self.embed.t()).view_as(x)
        if self.training:
            assigned = functional.one_hot(codes, 16).to(x.dtype)
            counts, sums = assigned.sum(0), flat.detach().t() @ assigned
            if self.in_place:
                self.cluster_size.data.mul_(0.9).add_(counts, alpha=0.1)
                self.embed_avg.data.mul_(0.9).add_(sums, alpha=0.1)
                self.embed.data.copy_(self.embed_avg / (self.cluster_size + 1e-5))
            else:
                self.cluster_size = self.cluster_size * 0.9 + counts * 0.1
                self.embed_avg = self.embed_avg * 0.9 + sums * 0.1
                self.embed = self.embed_avg / (self.cluster_size + 1e-5)
        return x + (found - x).detach(), (found.detach() - x).square().mean()


class Autoencoder(nn.Module):
    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = nn.Conv2d(3, 6, 1), Quantizer(in_place), nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, distance = self.quantizer(self.encoder(x).permute(0, 2, 3, 1))
        return self.decoder(found.permute(0, 3, 1, 2)), distance


class Centred(nn.Module):
    """A centre as DINO's, which only training reads, or which nothing but itself depends on."""

    def __init__(self, read: bool) -> None:
        super().__init__()
        self.read, self.body, self.head = read, nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.register_buffer("center", torch.zeros(1, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.body(x).relu().mean((2, 3))
        if not self.training:
            return self.head(h)
        result = self.head(h - self.center) if self.read else self.head(h)
        self.center = self.center * 0.9 + h.detach().mean(0, keepdim=True) * 0.1
        return result


class Teacher(nn.Module):
    """A copy that follows the weights (MoCo, mean teacher), with a queue of what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4))
        self.teacher = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4)).requires_grad_(False)
        self.register_buffer("queue", torch.randn(4, 16))
        self.register_buffer("widths", torch.ones(8))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries = self.student(x)
        if not self.training:
            return queries
        with torch.no_grad():
            for own, other in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                own.mul_(0.9).add_(other, alpha=0.1)
            self.get_buffer("widths").lerp_(self.student[1].get_parameter("weight").norm(dim=1), 0.1)
            keys, queue = self.teacher(x), self.get_buffer("queue")
            place = int(self.get_buffer("place"))
            queue[:, place : place + len(keys)] = keys.t()
            self.get_buffer("place")[0] = (place + len(keys)) % 16
        return torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.clone()], 1)


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: Autoencoder(in_place=True), {"quantizer.embed": (3, 16), "quantizer.embed_avg": (3, 16)}),
        (lambda: Autoencoder(in_place=False), {"quantizer.embed": (3, 16), "quantizer.embed_avg": (3, 16)}),
        (lambda: Centred(read=True), {"center": (1, 4)}),
        (lambda: Centred(read=False), {"center": (1, 4)}),
        (Teacher, {"queue": (4, 16), "widths": (4,)}),
    ],
)
def test_buffers_that_only_training_reads_are_cut_and_the_cut_model_trains(
    make: Callable[[], nn.Module], sizes: dict[str, tuple[int, ...]]
) -> None:
    model = make().eval()
    analysis = analyse(model, INPUTS)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    buffers = dict(made.model.named_buffers())
    assert {name: tuple(buffers[name].shape) for name in sizes} == sizes
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed
    made.model.train()
    for _ in range(2):
        result = made.model(*INPUTS)
        results = result if isinstance(result, tuple) else (result,)
        torch.stack([one.sum() for one in results]).sum().backward()


class Switched(nn.Module):
    """What most code reads the mode for."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.layer, self.noise, self.share = nn.Linear(8, 4), noise, 0.1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.noise > 0:
            x = x * torch.rand_like(x)
        share = self.share if self.training else 0.0
        return self.layer(functional.dropout(functional.dropout(x, share), 0.5, self.training))


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_training_is_recorded_only_where_code_does_something_else_in_it(noise: float) -> None:
    assert (record_runs(Switched(noise).eval(), (torch.randn(2, 8),)).training is not None) == (noise > 0)

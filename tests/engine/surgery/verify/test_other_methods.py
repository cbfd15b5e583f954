"""Methods that the forward does not use and that hold a size which was cut are named."""

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.verify.verify import verify


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.latent, self.size = 24, 10
        self.encoder, self.decoder = nn.Linear(10, 24), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encoder(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z.reshape(-1, 24))

    def sample(self, count: int) -> torch.Tensor:
        return self.decode(torch.randn(count, self.latent))

    def interpolate(self) -> list[torch.Tensor]:
        return [self.decode(torch.full((1, 24), step)) for step in (0.0, 1.0)]

    def noise(self) -> torch.Tensor:
        return torch.randn(1, self.size)


class Unfinished(Autoencoder):
    """What it inherits is of this file too."""


def named(model: nn.Module) -> list[str]:
    inputs = (torch.randn(2, 10),)
    analysis = analyse(model.eval(), inputs)
    removed = analysis.empty()
    for one in analysis.sets:
        if one.kind is not Kind.BLOCK:
            removed[one.structures][::2] = True
    smaller = cut(model, analysis, removed, inputs)
    found = finish(verify(model, smaller.model, analysis, removed, inputs, edits=smaller.edits))
    assert found.passed
    return [str(one) for one in found.unvaried if ", which the forward does not use" in str(one)]


def test_methods_with_an_attribute_or_a_number_of_the_old_size_are_named_and_no_others() -> None:
    where = "of the model, which the forward does not use (may mean the old size: "
    assert named(Autoencoder()) == [
        f"Autoencoder.sample {where}latent)",
        f"Autoencoder.interpolate {where}24)",
    ]


def test_inherited_methods_of_the_same_file_are_named_with_the_class_that_is_used() -> None:
    assert [one.partition(" ")[0] for one in named(Unfinished())] == ["Unfinished.sample", "Unfinished.interpolate"]


def test_what_a_library_gives_every_model_is_not_named() -> None:
    assert named(nn.Sequential(nn.Linear(10, 24), nn.Linear(24, 10))) == []

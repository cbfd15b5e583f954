"""Which attributes code reads in a run is noted, whatever way it takes to them; nothing of the model changes."""

from typing import Any, ClassVar

import torch
from torch import nn

from secateur.engine.tracing.attribute_reads import AttributeReads
from secateur.engine.tracing.tree import modules_of


class Held:
    """A plain object."""

    depth: int

    def __init__(self, **values: int) -> None:
        vars(self).update(values)


class Mapped:
    """Knows its numbers by other names too, and looks them up in its own way, as configurations of transformers do."""

    names: ClassVar = {"width": "hidden_size"}

    def __init__(self) -> None:
        self.hidden_size, self.heads, self.inner = 8, 2, Held(depth=3, unread=4)

    def __getattribute__(self, name: str) -> Any:
        names = super().__getattribute__("names")
        assert "heads" in super().__getattribute__("__dict__")
        return super().__getattribute__(names.get(name, name))


class Child(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.size, self.other, self.unread = nn.Parameter(torch.ones(3)), 3, 5, 7

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight.sum() * self.size


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.child, self.config, self.plain = Child(), Mapped(), Held(first=1, second=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = sum(vars(self.plain).values())  # whatever is in it
        return self.child(x) * self.config.width * self.config.inner.depth * self.child.other * total


def test_only_what_is_read_is_noted_and_the_classes_come_back() -> None:
    model = Parent()
    kinds = [type(one) for one in (*modules_of(model).values(), model.config, model.config.inner)]
    reads = AttributeReads(model)
    with reads.noted():
        noted = model(torch.ones(1))
    assert [type(one) for one in (*modules_of(model).values(), model.config, model.config.inner)] == kinds
    assert torch.equal(noted, model(torch.ones(1)))
    read = ["config.hidden_size", "config.inner.depth", "plain.first", "plain.second", "child", "child.size"]
    unread = ["config.heads", "config.inner.unread", "child.unread"]
    places = {name: ("child", name[6:]) if "child." in name else ("", name) for name in (*read, *unread)}
    assert [name for name, place in places.items() if reads.has(*place)] == read
    assert reads.has("child", "other")  # by the parent


def test_what_allows_no_other_class_counts_as_read() -> None:
    class Closed:
        def __init__(self) -> None:
            self.size = 4

        def __init_subclass__(cls) -> None:
            raise TypeError("there are no others")

    model = nn.Linear(2, 2)
    model.closed = Closed()  # type: ignore[assignment]
    reads = AttributeReads(model)
    with reads.noted():
        model(torch.ones(1, 2))
    assert reads.has("", "closed.size")

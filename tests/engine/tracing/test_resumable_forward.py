"""A forward that begins where parameters changed gives what the whole forward gives, and runs less."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.engine.jobs import Cancelled
from secateur.engine.tracing import resumable_forward
from secateur.engine.tracing.isolated_forward import quiet_forward
from secateur.engine.tracing.operator_mode import FlopCounter
from secateur.engine.tracing.resumable_forward import ResumableForward
from secateur.engine.tracing.tree import tensors_of

PLENTY = 1 << 24


class InPlace(nn.Module):
    """Writes into what earlier layers gave, whole and in part, and reads it before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third, self.last = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor) -> Any:
        stream = self.first(x)
        before = self.second(stream)
        stream.relu_()
        stream[:, :4] += before[:, 4:]
        stream[:, 4:].mul_(2)
        after = self.third(stream)
        stream.add_(after)
        return self.last(stream), stream


class Convolutions(nn.Module):
    """A residual block with BatchNorm, a view that is read late, and several outputs of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.block = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.into(x), inplace=True)
        flat = x.flatten(2).mT
        top, places = x.flatten(1).topk(3)
        x = x + self.norm(self.block(x))
        return {"logits": self.head(x.mean((2, 3))), "seen": flat.sum(), "top": top, "places": places}


class Branches(nn.Module):
    """Looks at numbers: which way it goes depends on them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.second(x) if float(x.mean()) > 0 else -self.second(x)
        x = x[x.sum(1) > x.mean()]
        return self.last(x) * x.amax().item()


class Lists(nn.Module):
    """Keeps layers' outputs in a list of its own and in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.newest: Any = None

    def forward(self, x: Tensor) -> Any:
        seen: list[Tensor] = []
        for layer in self.layers:
            x = layer(x).relu()
            seen.append(x)
            self.newest = x
        return torch.stack(seen).chunk(2), self.newest, seen


class Shared(nn.Module):
    """Reads one parameter early and late, another one only in a part."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.middle = nn.Embedding(10, 6), nn.Linear(6, 6)
        self.stack = nn.Parameter(torch.randn(2, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.words((x.abs() * 3).long() % 10))
        return (x @ self.stack[0] + x @ self.stack[1].T) @ self.words.weight.T


class Numpy(nn.Module):
    """Computes with arrays in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.from_numpy(self.first(x).numpy() * 2))
        return self.last(x) + sum(x[0].tolist())


class Listed(nn.Module):
    """Goes on with numbers of what nothing else reads, and reads a parameter right behind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.first(x).tolist()[0][0]
        return self.last(self.second(x)) * scale


LIBRARY = torch.library.Library("secateur_tests", "FRAGMENT")
LIBRARY.define("halves(Tensor x) -> (Tensor, Tensor)")
LIBRARY.define("tail(Tensor x) -> Tensor")
LIBRARY.impl("halves", lambda x: tuple((x * 2).chunk(2)), "CompositeExplicitAutograd")
LIBRARY.impl("tail", lambda x: torch.cat([x, x]).narrow(0, 1, len(x)), "CompositeExplicitAutograd")


class OddMemory(nn.Module):
    """Operators that give two tensors in one memory, and one that begins within its memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        one, other = torch.ops.secateur_tests.halves(self.first(x[:4]))
        one.add_(1)
        tail = torch.ops.secateur_tests.tail(self.second(torch.cat([one, other])))
        return self.last(tail) + other.sum() + tail.as_strided((2,), (1,), 0)[0]


class Draws(nn.Module):
    """Draws random numbers in between, and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.second(self.first(x)), training=True)
        return self.last(x) + torch.randn(6)


class Counts(nn.Module):
    """Writes into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6)
        self.register_buffer("count", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        self.count += self.first(x).mean(0)
        return self.last(x) * self.count


class Reshapes(nn.Module):
    """Changes the form of a tensor in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        return self.last(x.unsqueeze_(0).transpose_(1, 2).mT)


class Three(nn.Module):
    """Three layers, and what is between them."""

    def __init__(self, way: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(6, 6) for _ in range(3))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("variance", torch.ones(6))
        self.way = way

    def forward(self, x: Tensor) -> Any:
        return self.way(self, x)


class Tagged(Tensor):
    """A subclass that does nothing."""


LIBRARY.define("draw(Tensor x) -> Tensor")
LIBRARY.impl("draw", lambda x: x * torch.rand(()), "CompositeExplicitAutograd")


def gives_an_object(net: Any, x: Tensor) -> Any:
    hidden = net.first(x)
    return SimpleNamespace(features=hidden, logits=net.last(net.second(hidden)))


def gives_a_distribution(net: Any, x: Tensor) -> Any:
    mean = net.first(x)
    return torch.distributions.Normal(mean, net.last(net.second(mean)).exp())


def takes_a_subclass(net: Any, x: Tensor) -> Any:
    hidden = net.first(x).as_subclass(Tagged)
    return net.last((hidden * net.second(x)).as_subclass(Tensor))


def catches(net: Any, x: Tensor) -> Any:
    hidden = net.first(x)
    try:
        hidden = hidden + torch.ones(7)
    except RuntimeError:
        hidden = hidden + torch.ones(6)
    return net.last(net.second(hidden))


def draws_untold(net: Any, x: Tensor) -> Any:
    hidden = torch.ops.secateur_tests.draw(net.first(x))
    return net.last(net.second(hidden)) + torch.rand(6)


def trains_a_norm(net: Any, x: Tensor) -> Any:
    hidden = F.batch_norm(net.first(x), net.mean, net.variance, training=True)
    return net.last(F.batch_norm(net.second(hidden), net.mean, net.variance))


def lifts_numbers(net: Any, x: Tensor) -> Any:
    hidden = net.first(x)
    return net.last(net.second(hidden * torch.tensor([hidden[0, 0], 2.0]).sum()))


def sets_memory(net: Any, x: Tensor) -> Any:
    one, other = net.first(x), net.second(x)
    one.set_(other)
    other.mul_(2)
    return net.last(one) + one


def moves_in_memory(net: Any, x: Tensor) -> Any:
    hidden = net.first(x)
    part = hidden[:2].as_strided_((2, 6), (6, 1), 6)
    return net.last(part.mul_(3) + net.second(part)) + hidden.sum()


def leaves_gaps(net: Any, x: Tensor) -> Any:
    hidden = torch.empty_strided((5, 6), (12, 1))
    hidden.copy_(net.first(x))
    return net.last(net.second(hidden) + hidden.as_strided((5, 6), (12, 1), 0))


def reads_a_parameter(net: Any, x: Tensor) -> Any:
    scale = net.last.weight.tolist()[0][0]
    return net.last(net.second(net.first(x) * scale))


def prints_a_parameter(net: Any, x: Tensor) -> Any:
    length = len(f"{net.last.weight}".replace("-", ""))
    return net.last(net.second(net.first(x) * length))


def runs_a_thread(net: Any, x: Tensor) -> Any:
    """Of which no mode hears."""
    given, found = net.first(x), list[Tensor]()

    def double() -> None:
        with torch.no_grad():
            found.append(given * 2)

    thread = threading.Thread(target=double)
    thread.start()
    thread.join()
    return net.last(net.second(x) + found[0])


def prints_within_vmap(net: Any, x: Tensor) -> Any:
    def twice(row: Tensor) -> Tensor:
        repr(row)
        return row * 2

    return net.last(net.second(torch.vmap(twice)(net.first(x))))


def applies_a_function(net: Any, x: Tensor) -> Any:
    hidden = net.first(x)
    other = net.second(hidden)
    hidden.apply_(lambda number: number + 1)
    return net.last(other) + hidden


WAYS = [
    gives_an_object,
    gives_a_distribution,
    takes_a_subclass,
    catches,
    draws_untold,
    trains_a_norm,
    lifts_numbers,
    sets_memory,
    moves_in_memory,
    leaves_gaps,
    applies_a_function,
    reads_a_parameter,
    prints_a_parameter,
    runs_a_thread,
    prints_within_vmap,
]


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What nobody filled is NaN, and every call is worth leaving out."""
    monkeypatch.setattr(resumable_forward, "CALL", 0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


NETS: list[Callable[[], nn.Module]] = [
    InPlace,
    Convolutions,
    Branches,
    Lists,
    Shared,
    Numpy,
    Listed,
    OddMemory,
    Draws,
    Counts,
    Reshapes,
    lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
    lambda: nn.LSTM(6, 5, num_layers=2, batch_first=True),
    *(partial(Three, way) for way in WAYS),
]


def _inputs(net: nn.Module) -> Tensor:
    shapes: dict[type, tuple[int, ...]] = {
        Convolutions: (2, 3, 6, 6),
        InPlace: (5, 8),
        nn.TransformerEncoder: (2, 7, 8),
        nn.LSTM: (2, 7, 6),
    }
    return torch.randn(shapes.get(type(net), (5, 6)))


def _run(net: nn.Module, inputs: Tensor, counter: FlopCounter | None = None) -> Callable[..., Any]:
    def run(inside: AbstractContextManager[Any]) -> Any:
        with quiet_forward(net), counter or nullcontext(), inside:
            return net(inputs.clone())

    return run


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, torch.distributions.Normal):
        return [value.mean, value.stddev]
    return list(vars(value).values()) if isinstance(value, SimpleNamespace) else tensors_of(value)


def _change(one: Tensor) -> Tensor:
    before = one.detach().clone()
    with torch.no_grad():
        one.mul_(1.5).add_(0.1)
    return before


def _put_back(one: Tensor, before: Tensor) -> None:
    with torch.no_grad():
        one.copy_(before)


def _equal(found: Any, expected: Any) -> bool:
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    return all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("tried", [True, False])
@pytest.mark.parametrize("small", [0, 60, resumable_forward.SMALL])
@pytest.mark.parametrize("make", NETS)
def test_outputs_are_those_of_a_whole_forward(
    make: Callable[[], nn.Module], small: int, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_forward, "SMALL", small)
    if not tried:  # what is left out is right without a trial too
        monkeypatch.setattr(resumable_forward, "outputs_of", lambda _: [])
    if make is OddMemory:
        monkeypatch.setattr(resumable_forward, "DECLARED", resumable_forward.DECLARED | {"secateur_tests"})
    torch.manual_seed(0)
    net = make()
    parameters = dict(net.named_parameters())
    run = _run(net, _inputs(net))
    forward = ResumableForward(run, parameters, PLENTY)
    assert forward._kept or make not in NETS[:5]
    assert _equal(forward.outputs, run(nullcontext()))
    for changed in [[name] for name in parameters] + [list(parameters)[-2:], list(parameters)]:
        before = {name: _change(parameters[name]) for name in changed}
        for _ in range(2):
            assert _equal(forward.run_changed(changed), run(nullcontext()))
        for name, value in before.items():
            _put_back(parameters[name], value)


def test_what_comes_before_is_not_computed_again() -> None:
    torch.manual_seed(0)
    net, counter = nn.Sequential(*(nn.Linear(64, 64) for _ in range(5))), FlopCounter()
    each = 2 * 32 * 64 * 64
    forward = ResumableForward(_run(net, torch.randn(32, 64), counter), dict(net.named_parameters()), PLENTY)
    for number in range(5):
        counter.flops = 0
        forward.run_changed([f"{number}.weight"])
        assert counter.flops == (5 - number) * each
    counter.flops = 0
    forward.run_changed(["1.bias", "3.weight"])
    assert counter.flops == 4 * each


@pytest.mark.parametrize(("net", "products"), [(Numpy(), 3), (Draws(), 2), (Counts(), 2), (Reshapes(), 1)])
def test_what_cannot_be_left_out_is_run(net: nn.Module, products: int) -> None:
    """Before the last product something happens that torch does not see, or that stays."""
    counter = FlopCounter()
    forward = ResumableForward(_run(net, torch.randn(5, 6), counter), dict(net.named_parameters()), PLENTY)
    counter.flops = 0
    forward.run_changed(["last.weight"])
    assert counter.flops == products * 2 * 5 * 6 * 6


def test_memory_is_bounded() -> None:
    """Before each layer its input and that of the whole model are alive."""
    torch.manual_seed(0)
    net, counter = nn.Sequential(*(nn.Linear(64, 64) for _ in range(8))), FlopCounter()
    inputs, parameters = torch.randn(128, 64), {name: one for name, one in net.named_parameters() if one.ndim == 2}
    each = 2 * 128 * 64 * 64
    size = inputs.nbytes
    for room, left_out in ((9 * size, 7), (4 * size, 7), (2 * size, 7), (2 * size - 1, 0)):
        forward = ResumableForward(_run(net, inputs, counter), parameters, room)
        counter.flops = 0
        assert _equal(forward.run_changed(["7.weight"]), _run(net, inputs)(nullcontext()))
        assert counter.flops == (8 - left_out) * each
        held = {one.data_ptr(): one.nbytes for some in forward._kept.values() for one in some.values()}
        assert sum(held.values()) <= room


def test_what_is_written_in_place_again_and_again_counts_each_time() -> None:
    torch.manual_seed(0)
    layers, inputs = nn.ModuleList(nn.Linear(64, 64) for _ in range(12)), torch.randn(128, 64)

    def run(inside: AbstractContextManager[Any]) -> Any:
        with torch.no_grad(), inside:
            stream = inputs.clone()
            for layer in layers:
                stream.add_(layer(stream))
            return stream

    for room in (2, 3, 5):
        forward = ResumableForward(run, dict(layers.named_parameters()), room * inputs.nbytes)
        assert max(forward._kept) >= 2 * 11
        assert torch.equal(forward.run_changed(["11.bias"]), run(nullcontext()))


@pytest.mark.parametrize("ways", ["rrrss", "rrss", "ris"])
def test_a_forward_that_takes_another_way_is_run_as_a_whole(ways: str) -> None:
    """The last letter is the whole run; what came before was recorded, recorded again, tried out and run again."""
    torch.manual_seed(0)
    net, inputs = Branches(), torch.randn(5, 6)
    kinds = {"r": nn.ReLU(), "s": nn.Sigmoid(), "i": nn.Identity()}
    left = list(ways)

    def run(inside: AbstractContextManager[Any]) -> Any:
        way = kinds[left.pop(0)]
        with torch.no_grad(), inside:
            return net.last(way(net.first(inputs)))

    forward = ResumableForward(run, dict(net.named_parameters()), PLENTY)
    with torch.no_grad():
        assert torch.equal(forward.run_changed(["last.weight"]), net.last(net.first(inputs).sigmoid()))
    assert not left


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("error", [Cancelled(), torch.OutOfMemoryError("none left")])
def test_cancelling_ends_it_and_what_else_fails_is_run_as_a_whole(error: Exception, number: int) -> None:
    """The second recording, the trial, and the forward that is resumed."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))
    inputs, parameters = torch.randn(32, 64), dict(net.named_parameters())
    runs: list[int] = []

    def run(inside: AbstractContextManager[Any]) -> Any:
        runs.append(len(runs))
        with torch.no_grad(), inside:
            found = net[0](inputs)
            if runs[-1] == number:
                raise error
            return net[1:](found)

    if isinstance(error, Cancelled):
        with pytest.raises(Cancelled):
            ResumableForward(run, parameters, PLENTY).run_changed(["2.weight"])
    else:
        assert torch.equal(ResumableForward(run, parameters, PLENTY).run_changed(["2.weight"]), net(inputs))
    assert len(runs) >= number + 1

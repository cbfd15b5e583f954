"""Whatever is opened: it works, or a sentence says why not; and the model is left exactly as it was found."""

import copy
import gc
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torchvision.models.feature_extraction import create_feature_extractor

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.run_comparison import ComparedRun
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.surgery.verify.weights import Weights
from secateur.engine.tracing.recorder import attempt, record
from secateur.engine.tracing.tree import call, copied_inputs, preserved_outputs
from tests.engine.odd_nets import (
    Base,
    CatchesItsChild,
    ChangesItself,
    ChangesItsInput,
    Draws,
    GivesNothing,
    GivesNumbers,
    GivesParts,
    HoldsNothing,
    NeedsMask,
    NeedsName,
    OwnOperator,
    Raises,
    adapted,
    hooked,
    parametrised,
    with_gradients,
)

Make = Callable[[], nn.Module]


def rows(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(8, 9, generator=torch.Generator().manual_seed(0)).to(dtype)


def state(model: nn.Module) -> dict[str, Any]:
    """All that a user could notice: of every module and of torch itself."""
    seen: dict[str, Any] = {
        "random": random.getstate(), "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "torch": torch.get_rng_state().tolist(), "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()), "fast path": torch.backends.mha.get_fastpath_enabled(),
        "grad": torch.is_grad_enabled(), "anomaly": torch.is_anomaly_enabled(), "collector": gc.isenabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "threads": torch.get_num_threads(),
        "sdp": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled(),
                torch.backends.cuda.math_sdp_enabled()),
        "global hooks": [len(getattr(nn.modules.module, n)) for n in vars(nn.modules.module) if n.endswith("_hooks")],
        "modes": torch._C._len_torch_dispatch_stack() + torch._C._len_torch_function_stack(),
        "running threads": threading.active_count(),
    }  # fmt: skip
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            seen[f"{path}|{name}"] = plain(value)
    return seen


def plain(value: Any) -> Any:
    """A value that can be compared later, whatever is done to the original."""
    if isinstance(value, torch.Tensor):
        grad = None if value.grad is None or value.is_meta else (id(value.grad), value.grad.tolist())
        numbers = None if value.is_meta else repr(value.tolist())
        hooks = len(getattr(value, "_backward_hooks", None) or ())
        return id(value), tuple(value.shape), value.dtype, value.requires_grad, grad, numbers, hooks
    if isinstance(value, nn.Module):
        return id(value)
    if isinstance(value, Mapping):
        return [(k, plain(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else id(value)


def whole_road(model: nn.Module, inputs: Any) -> int:
    """Settle, cut half of everything, verify; gives how many structures went."""
    analysis = finish(settle(model, inputs, name="odd"))
    mask = trial_mask(analysis)
    if mask.any():
        made = cut(model, analysis, mask, inputs)
        result = finish(verify(model, made.model, analysis, mask, inputs))
        assert result.passed, result
        own = next((p.dtype for p in made.model.parameters() if p.is_floating_point()), torch.float32)
        quiet = ComparedRun(Weights(made.model, own), [inputs]).outputs
        with torch.random.fork_rng(devices=()), torch.no_grad():
            torch.manual_seed(0)
            plainly = preserved_outputs(call(made.model.eval(), copied_inputs(inputs)))
        assert all(torch.allclose(a, b, atol=1e-3, equal_nan=True) for a, b in zip(quiet, plainly, strict=True))
    return int(mask.sum())


def half() -> nn.Module:
    return Base().half()


def bfloat() -> nn.Module:
    return Base().to(torch.bfloat16)


def frozen() -> nn.Module:
    return Base().requires_grad_(False)


def parallel() -> nn.Module:
    return nn.DataParallel(Base())


def compiled() -> nn.Module:
    return torch.compile(Base(), backend="eager")  # type: ignore[return-value]


def compiled_in_place() -> nn.Module:
    model = Base()
    model.compile(backend="eager")
    return model


class Holding(nn.Module):
    """Has another module in it, and a head."""

    def __init__(self, inner: Any, name: str = "") -> None:
        super().__init__()
        self.inner, self.out, self.name = inner, nn.Linear(5, 4), name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.inner(x)
        return self.out(found[self.name] if self.name else found)


def features() -> nn.Module:
    return create_feature_extractor(Base().eval(), {"head": "found"})


class Heads(nn.Module):
    """Attention on three features each, with numbers in its forward that a cut has to replace."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 12), nn.Linear(9, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key = self.first(x).view(-1, 4, 3), self.second(x).reshape(x.shape[0], 4, -1)
        return self.head(((query @ key.transpose(1, 2)).softmax(-1) @ query).reshape(-1, 12))


def compiled_forward() -> nn.Module:
    model = Holding(Base())
    model.inner.forward = torch.compile(model.inner.forward, backend="eager")
    return model


def with_nan() -> nn.Module:
    model = Base()
    with torch.no_grad():
        model.second.weight[3, 2] = float("nan")
    return model


WORKS: dict[str, tuple[Make, Any]] = {
    "changes its input": (ChangesItsInput, (rows(),)),
    "changes itself": (ChangesItself, (rows(),)),
    "draws": (Draws, (rows(),)),
    "an empty parameter": (HoldsNothing, (rows(),)),
    "gives parts": (GivesParts, (rows(),)),
    "input by name": (NeedsName, {"x": rows(), "mask": rows() > 0}),
    "two inputs": (NeedsMask, (rows(), rows() > 0)),
    "own operator": (OwnOperator, (rows(),)),
    "half": (half, (rows(torch.half),)),
    "bfloat": (bfloat, (rows(torch.bfloat16),)),
    "frozen": (frozen, (rows(),)),
    "hooks": (hooked, (rows(),)),
    "gradients": (with_gradients, (rows(),)),
    "parametrised": (parametrised, (rows(),)),
    "adapted": (adapted, (rows(),)),
    "data parallel": (parallel, (rows(),)),
    "compiled": (compiled, (rows(),)),
    "compiled in place": (compiled_in_place, (rows(),)),
    "not a number": (with_nan, (rows(),)),
    "graph": (features, (rows(),)),
    "graph within": (lambda: Holding(features(), "found"), (rows(),)),
    "graph with sizes": (lambda: torch.fx.symbolic_trace(Heads()), (rows(),)),
    "graph with sizes within": (lambda: Holding(torch.fx.symbolic_trace(Heads())), (rows(),)),
    "compiled within": (lambda: Holding(torch.compile(Base(), backend="eager")), (rows(),)),
    "compiled with sizes within": (lambda: Holding(torch.compile(Heads(), backend="eager")), (rows(),)),
    "compiled forward": (compiled_forward, (rows(),)),
}


@pytest.mark.parametrize("name", WORKS)
def test_it_works_and_is_left_as_it_was(name: str) -> None:
    make, inputs = WORKS[name]
    torch.manual_seed(0)
    model, given = make(), copy.deepcopy(inputs)
    before = state(model)
    assert whole_road(model, inputs) > 0
    assert differences(before, state(model)) == {}
    kept = inputs.values() if isinstance(inputs, dict) else inputs
    theirs = given.values() if isinstance(given, dict) else given
    assert all(torch.equal(a, b) for a, b in zip(kept, theirs, strict=True))


@pytest.mark.parametrize(("make", "name"), [(compiled_in_place, "the model"), (compiled_forward, "inner")])
def test_what_was_compiled_in_place_is_told(make: Make, name: str) -> None:
    (note,) = analyse(make(), (rows(),)).notes
    assert f"torch.compile: {name}. " in str(note) and str(note).endswith("Compile it again.")
    assert not analyse(Base(), (rows(),)).notes


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 5)))


def traced() -> nn.Module:
    return torch.jit.trace(Base().eval(), rows())  # pyright: ignore[reportReturnType]


REFUSED: dict[str, tuple[Make, Any, str, str]] = {
    "raises": (Raises, (rows(),), "analysis.forward", r"RuntimeError.*odd_nets\.py, line \d+: return self\.second"),
    "gives nothing": (GivesNothing, (rows(),), "analysis.no_output", "no tensor"),
    "gives numbers": (GivesNumbers, (rows(),), "analysis.no_output", "no tensor"),
    "lacks an input": (NeedsMask, (rows(),), "analysis.missing_input", "also needs mask.*example inputs"),
    "lacks a named input": (NeedsName, (rows(),), "analysis.missing_input", "also needs mask.*by name"),
    "scripted": (scripted, (rows(),), "analysis.scripted", "TorchScript.*Python class"),
    "traced": (traced, (rows(),), "analysis.scripted", "TorchScript.*Python class"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("name", REFUSED)
def test_a_sentence_says_why_not_and_it_is_left_as_it_was(name: str) -> None:
    make, inputs, code, sentence = REFUSED[name]
    model = make()
    before = state(model)
    with pytest.raises(SecateurError, match=sentence) as caught:
        whole_road(model, inputs)
    assert caught.value.message.code == code
    assert differences(before, state(model)) == {}


class After:
    """A token that is set after it was asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_job_leaves_it_as_it_was() -> None:
    stopped = 0
    for times in range(12):
        model = ChangesItself()
        before = state(model)
        try:
            analysis = finish(settle(model, (rows(),), name="odd", token=After(times)))
        except Cancelled:
            stopped += 1
        else:
            mask = trial_mask(analysis)
            made = cut(model, analysis, mask, (rows(),))
            with pytest.raises(Cancelled):
                finish(verify(model, made.model, analysis, mask, (rows(),), token=After(1)))
        assert differences(before, state(model)) == {}
    assert stopped


def test_a_job_that_is_closed_midway_leaves_it_as_it_was() -> None:
    model = ChangesItself()
    before = state(model)
    job = settle(model, (rows(),), name="odd")
    next(job)
    next(job)
    job.close()
    assert differences(before, state(model)) == {}


def test_a_model_on_meta_is_analysed() -> None:
    with torch.device("meta"):
        model = Base()
    before = state(model)
    analysis = finish(settle(model, (torch.empty(8, 9, device="meta"),), name="meta"))
    assert len(analysis.sets) == 2
    mask = trial_mask(analysis)
    inputs = (torch.empty(8, 9, device="meta"),)
    made = cut(model, analysis, mask, inputs)
    assert {name: tuple(p.shape) for name, p in made.model.named_parameters()}["second.weight"] == (6, 8)
    with pytest.raises(SecateurError, match=r"weights have no values.*load its weights first"):
        finish(verify(model, made.model, analysis, mask, inputs))
    assert differences(before, state(model)) == {}


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {k: (before.get(k), after.get(k)) for k in before.keys() | after.keys() if before.get(k) != after.get(k)}


def test_the_snapshot_sees_what_a_forward_does() -> None:
    model = ChangesItself()
    before = state(model)
    model(rows())
    names = {k.split("|")[-1] for k in differences(before, state(model))}
    assert {"_buffers", "seen", "cache", "calls", "last", "training", "torch"} <= names


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone, as FSDP wants one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded(model: nn.Module) -> nn.Module:
    """By `fully_shard`, which changes the model's class."""
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    return model


def wrapped(model: nn.Module) -> nn.Module:
    """By the older wrapper, within another module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one process has nothing to shard
        return nn.Sequential(FullyShardedDataParallel(model, device_id=torch.device("cpu")))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("spread", [sharded, wrapped])
def test_a_sharded_model_is_refused(spread: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(SecateurError, match=r"spread over processes.*wrap the result"):
        whole_road(spread(Base()), (rows(),))


def test_a_child_that_raises_is_no_longer_the_one_that_runs() -> None:
    seen = record(CatchesItsChild(), (rows(),))
    paths = [c.module for c in seen.calls]
    assert paths[-1] == "head" and "child.1" in paths
    assert [m.path for m in seen.module_calls][-2:] == ["head", ""]
    products = [c.module for c in seen.calls if c.op == "aten.addmm"]
    assert products == ["first", "child.0", "second", "head"]


def test_a_forward_that_fails_after_a_child_failed_names_the_module_that_raised() -> None:
    assert attempt(CatchesItsChild(), (rows()[:, :7],)).module == "first"
    assert attempt(Raises(), (rows(),)).module == "second"

"""Runs attention that has no mask with an equivalent one, to reach the code for masks.

With a mask, and in an export, libraries take another way through their code than the example's run: they repeat keys
and values by a count that they remember. Both ways give the same where that count is right: the model itself tells it.
"""

import inspect
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...runtime import load_pruned
from ...runtime.load_pruned import StandIn, own_class
from ...tracing.attribute_reads import AttributeReads
from ...tracing.recorder import attempt
from ...tracing.tree import Inputs, modules_of, preserved_outputs
from ..verify.run_comparison import TOLERANCE, worst_difference

AttributeCounts: TypeAlias = Mapping[tuple[str, str], int]
"""Attributes by (module path, name)."""
Masks: TypeAlias = dict[str, Tensor]
"""By module path: a mask [1, 1, L, S] to be added, which says what its attention does without one."""


@dataclass(slots=True)
class MaskedAttention:
    """One model's attention without a mask, and what it does when it is given one.

    Attributes:
        model: The model; its attributes and hooks are changed meanwhile, and put back.
        inputs: Example inputs.
        outputs: Paths of the outputs that count.
        weightless: It runs for the shapes only.
        paths: Modules whose attention is looked at.
    """

    model: nn.Module
    inputs: Inputs
    outputs: tuple[str, ...]
    weightless: bool
    paths: tuple[str, ...]

    def fitting(self, names: Collection[str], values: Callable[[str], AttributeCounts]) -> set[str] | None:
        """Which attributes must follow the cut, so that a mask that hides nothing new changes nothing.

        Args:
            names: Attributes that may have to.
            values: What an attribute would be then, in every module.

        Returns:
            Their names, none where it works already; None where no argument of the modules takes a mask, or the code
            behind it reads none of the attributes, or no choice makes it work.
        """
        plain = self._run()
        if plain.error is not None or not plain.masks:
            return None
        for argument in plain.absent or ():
            given = self._run(argument, plain.masks)
            read = sorted(n for n in names if given.reads and any(given.reads.has(p, n) for p in plain.masks))
            if given.masks or not read:  # it is no mask, or that is not what it is for
                continue
            for chosen in chain([set[str]()], ({name} for name in read), [set(read)]):
                with _having(self.model, [values(name) for name in chosen]):
                    given = self._run(argument, plain.masks)
                if given.error is None and not given.masks and self._same(plain.answer, given.answer):
                    return chosen
        return None

    def _run(self, argument: str = "", masks: Masks | None = None) -> "_Way":
        way = _Way()
        with _hooked(self.model, self.paths, way, argument, masks or {}, self.outputs), _Watching(way):
            run = attempt(self.model, self.inputs, self.weightless, watched=False, reading=bool(argument))
        way.error, way.reads = run.error, run.reads
        return way

    def _same(self, first: list[Tensor], second: list[Tensor]) -> bool:
        if self.weightless:
            return [t.shape for t in first] == [t.shape for t in second]
        return worst_difference(first, second) < TOLERANCE[torch.float32]


@dataclass(slots=True)
class _Way:
    """One run of the model.

    Attributes:
        running: Modules that are looked at and whose forward runs, the innermost last.
        masks: What attention without a mask could have been given.
        absent: Arguments that none of these modules was given, None before the first of them runs.
        answer: The outputs that count.
        error: What the forward raised.
        reads: Attributes that it read, None where nobody looked.
    """

    running: list[str] = field(default_factory=list[str])
    masks: Masks = field(default_factory=dict[str, Tensor])
    absent: list[str] | None = None
    answer: list[Tensor] = field(default_factory=list[Tensor])
    error: Exception | None = None
    reads: AttributeReads | None = None


class _Watching(TorchFunctionMode):
    """Notes attention that is given no mask."""

    def __init__(self, way: _Way) -> None:
        super().__init__()
        self._way = way

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and self._way.running:
            given = inspect.signature(_attention).bind(*args, **kwargs).arguments
            if given.get("attn_mask") is None:
                query: Tensor = given["query"]
                shape = (1, 1, query.shape[-2], given["key"].shape[-2])
                hidden = torch.ones(shape, dtype=torch.bool).triu(1) & bool(given.get("is_causal", False))
                mask = torch.zeros(shape, dtype=query.dtype).masked_fill(hidden, torch.finfo(query.dtype).min)
                self._way.masks.setdefault(self._way.running[-1], mask.to(query.device))
        return func(*args, **kwargs)


def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: Any = 0.0, is_causal: Any = False, **_: Any
) -> None:
    """The arguments of torch's attention, which is no Python function and has no signature."""


@contextmanager
def _hooked(
    model: nn.Module, paths: Iterable[str], way: _Way, argument: str, masks: Masks, outputs: tuple[str, ...]
) -> Generator[None]:
    """Tell a run which of these modules run, and give them their masks."""
    modules = modules_of(model)
    looked = {path: modules[path] for path in paths if not isinstance(modules.get(path), (StandIn, type(None)))}

    def answered(_module: nn.Module, _args: Any, result: Any) -> None:
        way.answer = preserved_outputs(result, outputs)

    def ended(*_: Any) -> None:
        way.running.pop()

    handles = [model.register_forward_hook(answered)]
    for path, module in looked.items():
        handles.append(module.register_forward_pre_hook(_before(module, path, way, argument, masks), with_kwargs=True))
        handles.append(module.register_forward_hook(ended, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(module: nn.Module, path: str, way: _Way, argument: str, masks: Masks) -> Any:
    """A hook for a module that begins to run."""
    own: Any = own_class(module)

    def entered(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note that it runs and which arguments it lacks; give it its mask where it was given none."""
        places = inspect.signature(own.forward)
        absent = list(_absent(places, args, kwargs))
        way.absent = absent if way.absent is None else [name for name in way.absent if name in absent]
        way.running.append(path)
        if path not in masks or argument not in absent:
            return None
        before = list(places.parameters)[1:].index(argument) if argument in places.parameters else len(args)
        if before < len(args):
            return (*args[:before], masks[path], *args[before + 1 :]), kwargs
        return args, {**kwargs, argument: masks[path]}

    return entered


def _absent(places: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[str]:
    """Names of the arguments that are None."""
    bound = places.bind(None, *args, **kwargs)
    bound.apply_defaults()
    for name, value in list(bound.arguments.items())[1:]:
        if value is None:
            yield name
        elif places.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from (inner for inner, one in value.items() if one is None)


@contextmanager
def _having(model: nn.Module, values: Iterable[AttributeCounts]) -> Generator[None]:
    """Set attributes to other values inside."""
    old: list[tuple[Any, str, int]] = []
    for (path, name), value in chain.from_iterable(one.items() for one in values):
        module = model.get_submodule(path)
        old.append((module, name, getattr(module, name)))
        load_pruned.set_remembered(module, name, value)
    try:
        yield
    finally:
        for module, name, value in old:
            load_pruned.set_remembered(module, name, value)

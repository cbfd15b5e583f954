"""Repairs attributes that no run with the example reads, so that no audit asks for them.

Each function finds (path, attribute, value) for one kind of code that people run after a cut all the same: attention
with a mask (`kv_repeats`), generation with a cache (`layer_indices`), blocks that merge into one layer
(`merging_numbers`), and other forms of a forward (`variant_numbers`). `cut/cut.py` asks them once the model runs, and
keeps what they find as long as it still does.
"""

import copy
import inspect
import re
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...runtime.load_pruned import StandIn, own_class, set_remembered
from ...structures.analysis import inside
from ...structures.model_notes import merge_method
from ...structures.transition import Transition
from ...tracing.attribute_reads import AttributeReads
from ...tracing.recorder import attempt
from ...tracing.tree import Inputs, call, modules_of, preserved_outputs
from ..cut.module_attributes import module_attributes
from ..verify.run_comparison import TOLERANCE, worst_difference
from .candidates import AxisSizes

REPEATS = "repeats"
"""What rules call them in `Analysis.sizes`: how often one index of an axis is repeated."""
NUMBER = "layer_idx"
"""By which attention of transformers finds its slot in a cache."""
LIMIT = 256
"""Combinations of values that are tried in one block."""
ROUNDING = 1e-5
"""Difference that two forms of a forward may have."""


def kv_repeats(model: nn.Module, transition: Transition, inputs: Inputs) -> list[tuple[str, str, int]]:
    """Counts of query heads for each key/value head that are still those of before the cut.

    torch's attention finds the count out by itself, so that a run shows no fault; the same code repeats keys by a
    number that a module remembers as soon as it is given a mask, or exported.

    Nothing is guessed: the number must be what makes attention do the same with a mask as without, or, where no mask
    can be given, the one attribute that has the right value in every module of its class.
    """
    analysis, modules = transition.analysis, modules_of(model)
    old, new = transition.sizes_before, transition.sizes_after
    alike: dict[type, dict[str, tuple[int, int]]] = defaultdict(dict)
    for path, what, axis, _ in analysis.sizes:
        if what == REPEATS and axis >= 0 and path in modules:
            alike[type(modules[path])][path] = (int(old[axis]), int(new[axis]))
    changes: list[tuple[str, str, int]] = []
    for members in alike.values():
        holding = [
            {name for name, value in vars(modules[path]).items() if type(value) is int and value == was}
            for path, (was, _) in members.items()
        ]
        names = set[str].intersection(*holding)
        changed = {path: now for path, (was, now) in members.items() if was != now}
        if not names or not changed:
            continue
        attention = _MaskedAttention(model, inputs, analysis.outputs, analysis.weightless, tuple(members))
        chosen = attention.find_counts(names, changed)
        chosen = names if chosen is None and len(names) == 1 else chosen or ()
        changes += [(path, name, now) for name in sorted(chosen) for path, now in changed.items()]
    return changes


@dataclass(slots=True)
class _MaskedAttention:
    """One model's attention without a mask, and what it does when it is given one that hides nothing new.

    With a mask libraries take another way through their code than the example's run. Both ways give the same where the
    count is right: the model itself shows it.

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

    def find_counts(self, names: Collection[str], counts: Mapping[str, int]) -> set[str] | None:
        """Which attributes must follow the cut, so that a mask changes nothing.

        Args:
            names: Attributes that may have to.
            counts: By module path, what an attribute would be then.

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
            for chosen in ([], *([name] for name in read), read):
                with _changed_attributes({(path, n): now for n in chosen for path, now in counts.items()}, self.model):
                    given = self._run(argument, plain.masks)
                if given.error is None and not given.masks and self._is_same(plain.outputs, given.outputs):
                    return set(chosen)
        return None

    def _is_same(self, first: list[Tensor], second: list[Tensor]) -> bool:
        if self.weightless:
            return [t.shape for t in first] == [t.shape for t in second]
        return worst_difference(first, second) < TOLERANCE[torch.float32]

    def _run(self, argument: str = "", masks: Mapping[str, Tensor] | None = None) -> "_AttentionRun":
        """Run the model, and give its modules their masks by one of the arguments that they otherwise lack."""
        made = _AttentionRun()
        modules = modules_of(self.model)

        def keep_outputs(_module: nn.Module, _args: Any, result: Any) -> None:
            made.outputs = preserved_outputs(result, self.outputs)

        def leave(*_: Any) -> None:
            made.running.pop()

        handles = [self.model.register_forward_hook(keep_outputs)]
        for path in self.paths:
            module = modules.get(path)
            if module is not None and not isinstance(module, StandIn):
                hook = _entry_hook(module, path, made, argument, masks or {})
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
                handles.append(module.register_forward_hook(leave, always_call=True))
        try:
            with _WithoutMask(made):
                run = attempt(self.model, self.inputs, self.weightless, watched=False, reading=bool(argument))
        finally:
            for handle in handles:
                handle.remove()
        made.error, made.reads = run.error, run.reads
        return made


@dataclass(slots=True)
class _AttentionRun:
    """One run of the model.

    Attributes:
        running: Modules that are looked at and whose forward runs, the innermost last.
        masks: By module path: a mask [1, 1, L, S] to be added, which says what its attention does without one.
        absent: Arguments that none of these modules was given, None before the first of them runs.
        outputs: Those that count.
        error: What the forward raised.
        reads: Attributes that it read, None where they were not noted.
    """

    running: list[str] = field(default_factory=list[str])
    masks: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    absent: list[str] | None = None
    outputs: list[Tensor] = field(default_factory=list[Tensor])
    error: Exception | None = None
    reads: AttributeReads | None = None


class _WithoutMask(TorchFunctionMode):
    """Notes attention that is given no mask."""

    def __init__(self, run: _AttentionRun) -> None:
        super().__init__()
        self._run = run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and self._run.running:
            # It is no Python function, and has no signature that could be asked.
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            given = dict(zip(names, args, strict=False)) | kwargs
            if given.get("attn_mask") is None:
                query: Tensor = given["query"]
                shape = (1, 1, query.shape[-2], given["key"].shape[-2])
                hidden = torch.ones(shape, dtype=torch.bool).triu(1) & bool(given.get("is_causal", False))
                mask = torch.zeros(shape, dtype=query.dtype).masked_fill(hidden, torch.finfo(query.dtype).min)
                self._run.masks.setdefault(self._run.running[-1], mask.to(query.device))
        return func(*args, **kwargs)


def _entry_hook(module: nn.Module, path: str, run: _AttentionRun, argument: str, masks: Mapping[str, Tensor]) -> Any:
    """A hook that notes that a module runs and what it lacks, and gives it its mask where it was given none."""
    own: Any = own_class(module)

    def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note what the module lacks; exchange its arguments where it gets a mask."""
        places = inspect.signature(own.forward)
        bound = places.bind(None, *args, **kwargs)
        bound.apply_defaults()
        absent: list[str] = []
        for name, value in list(bound.arguments.items())[1:]:
            if value is None:
                absent.append(name)
            elif places.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                absent += [inner for inner, one in value.items() if one is None]
        run.absent = absent if run.absent is None else [name for name in run.absent if name in absent]
        run.running.append(path)
        if path not in masks or argument not in absent:
            return None
        place = list(places.parameters)[1:].index(argument) if argument in places.parameters else len(args)
        if place < len(args):
            return (*args[:place], masks[path], *args[place + 1 :]), kwargs
        return args, {**kwargs, argument: masks[path]}

    return enter


@contextmanager
def _changed_attributes(values: Mapping[tuple[str, str], Any], model: nn.Module) -> Generator[None]:
    """Context in which attributes, by (module path, name), have other values."""
    modules = {key: model.get_submodule(key[0]) for key in values}
    old = {(path, name): getattr(module, name) for (path, name), module in modules.items()}
    try:
        for (path, name), value in values.items():
            set_remembered(modules[path, name], name, value)
        yield
    finally:
        for (path, name), value in old.items():
            set_remembered(modules[path, name], name, value)


def layer_indices(before: nn.Module, after: nn.Module) -> list[tuple[str, str, int]]:
    """Slots in a shared cache for layers whose slot changes, as layers before them are gone.

    Nothing else is renumbered where a block goes: modules, state-dict names and lists in a configuration keep their
    places. Slots alone must leave no hole before the last one: code asks the first slot of a kind how much it has seen.

    Layers exchange slots with their like only: at the same place in their block, of one class, and with equal flags
    (whether they slide, are causal ...), as a configuration may say of each slot what it holds.

    Args:
        before: The model before the cut.
        after: The same after it.
    """
    alike: dict[Any, list[tuple[int, str]]] = defaultdict(list)
    for path, module in modules_of(before).items():
        number = vars(module).get(NUMBER)
        if type(number) is int and not isinstance(module, StandIn):
            # A window may be a number or None: of all that is no switch only whether it is there counts.
            flags = tuple(
                (name, value if isinstance(value, (bool, str)) else value is None)
                for name, value in sorted(vars(module).items())
                if not name.startswith("_") and name != NUMBER
            )
            alike[re.sub(r"\b\d+\b", "*", path), type(module), flags].append((number, path))
    present = modules_of(after) if alike else {}
    changes: list[tuple[str, str, int]] = []
    for members in alike.values():
        slots = sorted(members)
        stay = [m for m in slots if not isinstance(present.get(m[1]), (StandIn, type(None)))]
        changes += [(path, NUMBER, slot) for (old, path), (slot, _) in zip(stay, slots, strict=False) if old != slot]
    return changes


def merging_numbers(smaller: nn.Module, sizes: AxisSizes) -> list[tuple[str, str, Any]]:
    """What blocks read when they merge into one layer after training (MobileOne, FastViT), and a cut changed.

    Nothing is guessed: the block is merged, on a copy, with each combination of values that its sizes may have now,
    until no layer in it remembers another size than its weights have.

    Args:
        smaller: The cut model; not touched.
        sizes: What became of each size.
    """
    changes: list[tuple[str, str, Any]] = []
    for path, module in reversed(modules_of(smaller).items()):  # what a block holds is merged by it, or before it
        method = merge_method(module)
        options = {n: v for n, v in sizes.attributes(smaller, path).items() if "." not in n} if method else {}
        if not options:
            continue
        block = copy.deepcopy(module)
        for inner, name, value in changes:
            if inside(inner, path):
                set_remembered(block.get_submodule(inner[len(path) + 1 :] if path else inner), name, value)
        if not _merges(block, method, {}):
            tried = _combinations(block, options)
            found = next((one for one in tried if _merges(block, method, one)), dict[str, Any]())
            merged = _copy_with(block, found)
            reads = AttributeReads(merged)
            with reads.noted():
                _merge(merged, method)
            changes += [
                (path, name, value)
                for name, value in found.items()
                if reads.has("", name) and value != getattr(module, name)
            ]
    return changes


def _combinations(module: nn.Module, options: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Values for all attributes: those with new values everywhere first."""
    each = [[*values, getattr(module, name)] for name, values in options.items()]
    yield from (dict(zip(options, values, strict=True)) for values in islice(product(*each), LIMIT))


def _merges(module: nn.Module, method: str, values: dict[str, Any]) -> bool:
    """Whether a block merges with these values into layers that remember the sizes of their weights."""
    merged = _copy_with(module, values)
    if not _merge(merged, method):
        return False
    own = [(one, module_attributes(one, None)) for one in merged.modules()]
    return all(getattr(one, name, value) == value for one, sizes in own for name, value in sizes.items())


def _copy_with(module: nn.Module, values: dict[str, Any]) -> nn.Module:
    alone = copy.deepcopy(module)
    for name, value in values.items():
        set_remembered(alone, name, value)
    return alone


def _merge(module: nn.Module, method: str) -> bool:
    device = next(module.parameters()).device
    try:
        with torch.no_grad(), torch.device(device):  # layers are made where the weights are, also on meta
            getattr(module, method)()
    except Exception:  # the block's own code, with numbers that may be wrong
        return False
    return True


def variant_numbers(smaller: nn.Module, sizes: AxisSizes, inputs: Inputs) -> list[tuple[str, str, Any]]:
    """What other forms of a forward read, which libraries put in its place (`forward_split` in exports of Ultralytics).

    Nothing is guessed: a form is run on what its module was given, with each combination of values that its sizes may
    have now, until its output is that of the forward.

    Args:
        smaller: The cut model, with weights; not touched.
        sizes: What became of each size.
        inputs: Example inputs.
    """
    options = {
        path: found
        for path, module in modules_of(smaller).items()
        if _variants(module) and (found := sizes.attributes(smaller, path, every=True))
    }
    seen: dict[nn.Module, tuple[tuple[Any, ...], Any]] = {}
    changes: list[tuple[str, str, Any]] = []
    if not options:
        return changes
    model = copy.deepcopy(smaller)  # a run may leave something in it (the anchors of a detector)

    def note(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        """Keep what a module was given, and what it made of it."""
        seen[module] = given, out

    def gives_the_same(path: str, name: str, values: dict[str, Any]) -> bool:
        """Whether a method gives what the forward gave, with other values of attributes while it runs."""
        module = model.get_submodule(path)
        given, out = seen[module]
        try:
            with _changed_attributes({(path, attribute): value for attribute, value in values.items()}, model):
                found = getattr(module, name)(*given)
        except Exception:  # the module's own code, with numbers that may be wrong
            return False
        if not isinstance(found, Tensor) or not isinstance(out, Tensor) or found.shape != out.shape:
            return False
        return bool((found - out).abs().max() <= ROUNDING * out.abs().max())

    for path in options:
        model.get_submodule(path).register_forward_hook(note)
    with torch.no_grad():
        call(model, inputs)
        for path, values in options.items():
            module = model.get_submodule(path)
            for name in _variants(module) if module in seen else ():
                tried: list[dict[str, Any]] = [{}, *_combinations(module, values)]
                found = next((one for one in tried if gives_the_same(path, name, one)), tried[0])
                changes += [(path, key, value) for key, value in found.items() if value != getattr(module, key)]
    return changes


def _variants(module: nn.Module) -> list[str]:
    """Methods that take what the forward takes and are named after it."""
    kind = type(module)
    names = [name for name in dir(kind) if name.startswith("forward_") and callable(getattr(kind, name))]
    own = [*inspect.signature(kind.forward).parameters] if names else []
    return [name for name in names if [*inspect.signature(getattr(kind, name)).parameters] == own]

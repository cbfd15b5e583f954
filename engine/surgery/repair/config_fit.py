"""The configuration that a cut model of transformers needs, so that the library itself builds it: sizes and layers."""

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import Message
from ...messages import Phrase, listed
from ...runtime.load_pruned import StandIn
from ...tracing.tree import Inputs, copied_inputs, modules_of, outputs_of
from .config_fields import ConfigFields, Shapes, at, changed, numbers, with_layers

SHOWN = 4
EQUAL, FACTORS = 1e-6, 4
"""Difference that rounding makes; factors that are sought in one model."""
TOGETHER = 32
"""Combinations of counts that are tried."""
COUNTS = re.compile(r"head|group")
"""In the name of a number that says into how many parts a width is split."""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A cut model as the library itself builds it.

    Attributes:
        model: A new module of the same class, with the cut model's weights and the fitting configuration.
        difference: max|a - b| / max|a| of its outputs from those of the cut model.
        scaled: Some weights were multiplied, as the class computes a factor from a size.
    """

    model: Any
    difference: float
    scaled: bool = False


def is_transformers(model: Any) -> bool:
    """Whether a model is of transformers, with a configuration that builds it."""
    return any(
        one.__name__ == "PreTrainedModel" and one.__module__.startswith("transformers.") for one in type(model).__mro__
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a configuration has to build: the one with as many layers as are left, names of tensors, their shapes."""

    fields: ConfigFields
    document: dict[str, Any]
    names: dict[str, str]
    target: Shapes


def _wanted(model: Any) -> _Wanted | Message:
    """What has to be built for a cut model; or why no configuration can describe it."""
    fields = ConfigFields(model)
    if parts := _parts(model, fields):
        template = "Parts of layers are gone ({parts}), but a configuration has whole layers only."
        return Message("config.parts", template, {"parts": listed(parts, SHOWN)})
    others = {name: one for name, one in model.named_buffers() if name in fields.shapes}
    tensors = model.state_dict() | others
    document, names = layers_of(fields, tensors)
    return _Wanted(fields, document, names, {names[name]: tuple(one.shape) for name, one in tensors.items()})


def misfit(model: Any) -> Message | None:
    """Why no configuration describes a model of transformers, by its shapes alone; None where one may do."""
    wanted = _wanted(model)
    if isinstance(wanted, Message):
        return wanted
    found = next(wanted.fields.solutions(wanted.document, wanted.target), None)
    return None if found is not None else _why(wanted.fields, wanted.document, wanted.target)


def fitted(model: Any, inputs: Inputs) -> FittedModel | Message:
    """The same model, built by its library from a configuration of its own; or why no configuration describes it.

    Args:
        model: A live model of transformers, cut or not; it is left as it is.
        inputs: Example inputs, on which both are compared.
    """
    wanted = _wanted(model)
    if isinstance(wanted, Message):
        return wanted
    fields, document, target = wanted.fields, wanted.document, wanted.target
    renamed = {wanted.names[name]: one for name, one in model.state_dict().items()}
    best: FittedModel | None = None
    for found in fields.solutions(document, target):
        for variant in (found, *_silent_variants(fields, found)):
            if fields.built(variant) != target:
                continue
            made = _built(model, fields.config(variant), renamed)
            one = FittedModel(made, output_difference(model, made, inputs))
            if one.difference > EQUAL:
                one = _rescaled(model, one, inputs)
            best = one if best is None or one.difference < best.difference else best
            if not best.difference:
                return best
    return _why(fields, document, target) if best is None else best


def with_fitting_config(model: Any, inputs: Inputs) -> Any:
    """A cut model of transformers with the configuration that builds it, so that `save_pretrained` writes that.

    It stays with the original's where none does, or where removed layers still have their places.
    """
    if any(isinstance(one, StandIn) for one in modules_of(model).values()):
        return model
    found = fitted(model, inputs)
    if isinstance(found, FittedModel) and found.difference <= EQUAL and not found.scaled:
        own, new = model.config, found.model.config
        parts = {id(own): new} | {id(getattr(own, name)): getattr(new, name) for name in own.sub_configs}
        for one in modules_of(model).values():
            known = vars(one).get("config")
            if id(known) in parts:
                vars(one)["config"] = parts[id(known)]
    return model


def fits(fields: ConfigFields, shapes: Shapes) -> bool:
    """Whether a configuration builds these shapes of a cut model, whose layers have their old numbers."""
    document, names = layers_of(fields, shapes)
    target = {names[name]: shape for name, shape in shapes.items()}
    return next(fields.solutions(document, target), None) is not None


def layers_of(fields: ConfigFields, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration with as many layers as are left, and the new name of each tensor.

    Args:
        fields: Of the original's configuration.
        names: Of the tensors that are left.
    """
    document, renamed = fields.document, {name: name for name in names}
    for one in fields.effects:
        for path in one.layers:
            layer = re.compile(re.escape(path) + r"\.(\d+)\.")
            kept = sorted({int(found[1]) for name in renamed if (found := layer.match(name))})
            if 0 < len(kept) < one.value:
                document = with_layers(document, one.path, one.value, kept)
                renamed = {old: _renumbered(new, layer, path, kept) for old, new in renamed.items()}
    return document, renamed


def _renumbered(name: str, layer: re.Pattern[str], path: str, kept: Sequence[int]) -> str:
    found = layer.match(name)
    return name if found is None else f"{path}.{kept.index(int(found[1]))}.{name[found.end() :]}"


def _silent_variants(fields: ConfigFields, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same sizes with other counts of heads and groups, where no size shows these (BERT's heads).

    Those come first that keep the width of a head: in several places at once too (Whisper's encoder and decoder).
    """
    shown = {one.path for one in fields.effects}
    silent = [
        (path, value) for path, value in numbers(fields.document) if path not in shown and COUNTS.search(str(path[-1]))
    ]
    moved = [(one.value, at(document, one.path)) for one in fields.effects if at(document, one.path) != one.value]
    alike = [dict.fromkeys((*(v * now // was for was, now in moved if not v * now % was), v)) for _, v in silent]
    for counts in islice(product(*alike), TOGETHER):
        variant = dict(document)
        for (path, _), count in zip(silent, counts, strict=True):
            variant = changed(variant, path, count)
        yield variant
    for path, value in silent:
        yield from (changed(document, path, other) for other in range(value - 1, 0, -1))


def _parts(model: nn.Module, fields: ConfigFields) -> list[str]:
    """Paths of removed modules that are no whole layers."""
    lists = {path for one in fields.effects for path in one.layers}
    gone = [path for path, one in modules_of(model).items() if isinstance(one, StandIn)]
    return [path for path in gone if path.rpartition(".")[0] not in lists]


def _built(model: Any, config: Any, weights: Mapping[str, Tensor]) -> Any:
    """A model of the same class with these weights, in their types, tied where the class ties them."""
    own = model.config
    config._attn_implementation = own._attn_implementation
    config.dtype, config.architectures = own.dtype, [type(model).__name__]
    with torch.random.fork_rng(devices=[]):
        made = type(model)(config)
    types = {name: one.dtype for name, one in (*model.named_parameters(), *model.named_buffers())}
    for name, one in (*made.named_parameters(), *made.named_buffers()):
        known = weights[name].dtype if name in weights else types.get(name, one.dtype)
        one.data = one.data.to(known)
    made.load_state_dict(dict(weights), strict=True)
    if model.can_generate():
        made.generation_config = model.generation_config
    return made.eval()


def output_difference(model: Any, made: Any, inputs: Inputs) -> float:
    """max|a - b| / max|a| of the outputs of two models on the same inputs; infinity for other shapes."""
    with torch.no_grad():
        results = [[t.tensor for t in outputs_of(_call(one, inputs)) if t.preserved] for one in (model, made)]
    expected, found = results
    if [one.shape for one in expected] != [one.shape for one in found]:
        return float("inf")
    return max((_one(a.double(), b.double()) for a, b in zip(expected, found, strict=True)), default=0.0)


def _rescaled(model: Any, found: FittedModel, inputs: Inputs) -> FittedModel:
    """The same with weights multiplied where the class computes a factor from a width (T5 scales what it decodes).

    The first module whose output is a multiple of what it should be, or the one before it, gets the factor, if that
    brings the outputs nearer.
    """
    for _ in range(FACTORS):
        wrong = _first_multiple(model, found.model, inputs)
        if wrong is None:
            break
        places, factor = wrong
        tried = [_with_factor(found.model, path, factor) for path in places]
        scaled = [FittedModel(made, output_difference(model, made, inputs), scaled=True) for made in tried]
        nearest = min(scaled, key=lambda one: one.difference)
        if nearest.difference >= found.difference:
            break
        found = nearest
        if found.difference <= EQUAL:
            break
    return found


def _first_multiple(model: Any, made: Any, inputs: Inputs) -> tuple[list[str], float] | None:
    """(the first module that gives a multiple of what it should, and the one that ran before it; the factor)."""
    expected, given = [one for _, one in _runs(model, inputs)], _runs(made, inputs)
    if [one.shape for one in expected] != [one.shape for _, one in given]:
        return None
    before = ""
    for right, (path, one) in zip(expected, given, strict=True):
        if _one(right, one) > EQUAL:
            factor = float((right * one).sum() / (one * one).sum()) if bool((one != 0).any()) else 0.0
            return ([path, *([before] if before else [])], factor) if _one(right, factor * one) < EQUAL else None
        before = path
    return None


def _runs(model: Any, inputs: Inputs) -> list[tuple[str, Tensor]]:
    """(path, output) of each call of a module with parameters of its own, in order."""
    found: list[tuple[str, Tensor]] = []

    def note(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _given: Any, out: Any) -> None:
            if isinstance(out, Tensor):
                found.append((path, out.double()))

        return hook

    own = [(path, one) for path, one in modules_of(model).items() if any(True for _ in one.parameters(recurse=False))]
    handles = [one.register_forward_hook(note(path)) for path, one in own]
    try:
        with torch.no_grad():
            _call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _with_factor(made: Any, path: str, factor: float) -> Any:
    other = copy.deepcopy(made)
    with torch.no_grad():
        for one in other.get_submodule(path).parameters(recurse=False):
            one.mul_(factor)
    return other


def _call(model: Any, inputs: Inputs) -> Any:
    given = copied_inputs(inputs)
    return model(**given) if isinstance(given, Mapping) else model(*given)


def _one(a: Tensor, b: Tensor) -> float:
    if not a.numel():
        return 0.0
    far = float((a - b).abs().max())
    return far / max(float(a.abs().max()), 1e-30) if far else 0.0


def _why(fields: ConfigFields, document: Mapping[str, Any], target: Shapes) -> Message:
    """Why no configuration builds these shapes."""
    uneven = list(_uneven(target))
    if uneven:
        template = "A configuration has one size for all layers, but they differ: {places}. Plan with uniform layers."
        return Message("config.uneven", template, {"places": listed(uneven, SHOWN)})
    original = fields.built(document) or {}
    known = fields.deciding()
    fixed = [
        name
        for name, shape in target.items()
        for dim, size in enumerate(shape)
        if name in original and len(original[name]) > dim and size != original[name][dim] and (name, dim) not in known
    ]
    if fixed:
        template = "The configuration has no field for the sizes of {names}. Plan with uniform layers."
        return Message("config.no_field", template, {"names": listed(dict.fromkeys(fixed), SHOWN)})
    template = "No values of the configuration build the sizes of the pruned model. Plan with uniform layers."
    return Message("config.none", template)


def _uneven(target: Shapes) -> Iterator[Phrase]:
    """Tensors of layers that have other sizes in other layers: "layers.*.mlp.up_proj.weight 44 (0, 1), 40 (2)"."""
    sizes: dict[str, dict[tuple[int, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, shape in target.items():
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
        if numbers:
            sizes[re.sub(r"(?<=\.)\d+(?=\.)", "*", name)][shape].append(".".join(numbers))
    for name, found in sizes.items():
        if len(found) > 1 and name.endswith("weight"):
            each = "; ".join(f"{'x'.join(map(str, shape))} in {', '.join(numbers)}" for shape, numbers in found.items())
            yield Message("config.sizes", "{name} is {sizes}", {"name": name, "sizes": each})

"""The configuration that a cut model of transformers needs, so that the library itself builds it: sizes and layers."""

import copy
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import Message
from ...inference.bfloat16 import in_bfloat16, widened
from ...messages import Phrase, listed, module_named
from ...runtime.load_pruned import StandIn
from ...storage.safetensors_io import weights_on_meta
from ...tracing.tree import Inputs, call, copied_inputs, modules_of, outputs_of
from .config_fields import ConfigFields, Path, Shapes, at, fields_of, numbers, shapes_of, with_layers, with_value

SHOWN = 4
EQUAL, FACTORS = 1e-6, 4
"""Difference that rounding makes in a small model; factors that are sought in one model."""
ROUNDED, MARGIN = 1e-4, 8
"""The most that rounding may make in any model, and in multiples of what it was seen to make in the one at hand."""
ATTENTION = ("eager", "sdpa")
"""What computes attention where people load a folder: the second is the library's default, the first its reference."""
ORIGINS = (0.0, -1.0)
"""Values at which a parameter multiplies by nothing: norms may store a weight as its distance from one (Gemma's)."""
COUNTS = re.compile(r"^(?!.*_dim).*(head|group|expert|top_?k)")
"""In the name of a number that says into how many parts a width is split, or how many of them are used."""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model as the library itself builds it, compared with the cut model.

    Attributes:
        model: A new module of the same class, with the cut model's weights and the configuration.
        difference: max|a - b| / max|a| of its outputs from those of the cut model; infinity where it does not run.
        equal: The difference is no larger than rounding makes, whichever attention runs.
        scaled: Paths of modules whose weights were multiplied, as the class computes a factor from a size.
        differing: Paths of modules whose outputs differ, in the order in which they run.
        agreeing: How many calls of modules agree before the first that does not.
        error: Why it does not run, "" where it does.
    """

    model: Any
    difference: float
    equal: bool = False
    scaled: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    agreeing: int = 0
    error: str = ""

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Larger for models that are nearer: the first wrong module comes later, then the outputs differ less."""
        return self.equal, self.agreeing, -self.difference


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


def _find_target(model: Any) -> _Wanted | Message:
    """What has to be built for a cut model; or why no configuration can describe it."""
    fields = fields_of(model)
    lists = {path for one in fields.effects for path in one.layers}
    gone = [path for path, one in modules_of(model).items() if isinstance(one, StandIn)]
    if parts := [path for path in gone if path.rpartition(".")[0] not in lists]:
        template = "Parts of layers are gone ({parts}), but a configuration has whole layers only."
        return Message("config.parts", template, {"parts": listed(parts, SHOWN)})
    others = {name: one for name, one in model.named_buffers() if name in fields.shapes}
    tensors = model.state_dict() | others
    document, names = layers_of(fields, tensors)
    return _Wanted(fields, document, names, {names[name]: tuple(one.shape) for name, one in tensors.items()})


def misfit(model: Any) -> Message | None:
    """Why no configuration describes a model of transformers, by its shapes alone; None where one may do."""
    wanted = _find_target(model)
    if isinstance(wanted, Message):
        return wanted
    found = next(wanted.fields.solutions(wanted.document, wanted.target), None)
    return None if found is not None else _misfit_message(wanted.fields, wanted.document, wanted.target)


def new_names(model: Any) -> dict[str, str] | Message:
    """What each tensor of a cut model is called once its layers have new numbers; or why no configuration describes it.

    By shapes alone: the model may be on the meta device.
    """
    wanted = _find_target(model)
    return wanted if isinstance(wanted, Message) else wanted.names


def fit_config(model: Any, inputs: Inputs, shared: bool = False) -> FittedModel | Message:
    """The same model, built by its library from a configuration of its own; or why no configuration describes it.

    One that only nearly gives the same outputs, above what rounding makes, does not describe it.

    Args:
        model: A live model of transformers, cut or not; it is left as it is.
        inputs: Example inputs, on which both are compared.
        shared: The new model computes with the tensors of the other one, which takes no memory; none is multiplied.
    """
    wanted = _find_target(model)
    if isinstance(wanted, Message):
        return wanted
    found = _fit_nearest(wanted, model, inputs, shared)
    # Rounding in bfloat16 hides which counts are right: copies in float32 are compared, then typed as the model is.
    if found is not None and not found.equal and in_bfloat16(model) and not shared:
        wide = _fit_nearest(wanted, copy.deepcopy(model).float(), widened(inputs))
        if wide is not None and wide.equal:
            made, types = wide.model, {name: one.dtype for name, one in _tensors(model)}
            for name, one in _tensors(made):
                one.data = one.data.to(types.get(name, model.dtype if one.is_floating_point() else one.dtype))
            made.config.dtype = model.config.dtype
            found = wide
    if found is None:
        return _misfit_message(wanted.fields, wanted.document, wanted.target)
    return found if found.equal else _near_message(found)


def _fit_nearest(wanted: _Wanted, model: Any, inputs: Inputs, shared: bool = False) -> FittedModel | None:
    """Of the models that configurations of the wanted sizes build, the one that is nearest to the cut model."""
    fields, reference = wanted.fields, _Reference(model, inputs)
    weights = {wanted.names[name]: one for name, one in model.state_dict().items()}

    def attempt(document: Mapping[str, Any]) -> FittedModel:
        made = reference.compare(_build_model(model, fields.config(document), weights, shared))
        return made if made.equal or shared else _scale_weights(made, reference)

    best: FittedModel | None = None
    for document in fields.solutions(wanted.document, wanted.target):
        found = _with_silent_counts(wanted, model, document, attempt)
        best = found if best is None or found.rank > best.rank else best
        if best.equal:
            break
    return best


def with_fitting_config(model: Any, inputs: Inputs) -> Any:
    """A cut model of transformers with the configuration that builds it, so that `save_pretrained` writes that.

    It stays with the original's where none does, or where removed layers still have their places.
    """
    if any(isinstance(one, StandIn) for one in modules_of(model).values()):
        return model
    found = fit_config(model, inputs)
    if isinstance(found, FittedModel) and not found.scaled:
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
                for old, new in renamed.items():
                    if found := layer.match(new):
                        renamed[old] = f"{path}.{kept.index(int(found[1]))}.{new[found.end() :]}"
    return document, renamed


def _with_silent_counts(
    wanted: _Wanted, model: nn.Module, document: dict[str, Any], attempt: Callable[[Mapping[str, Any]], FittedModel]
) -> FittedModel:
    """The nearest of the models with the same sizes and other counts of heads that no size shows (BERT's heads).

    What the modules of the cut model remember says most counts, whether the example runs through the code that reads
    them or not. What they do not say is found by runs, one count after another: a wrong one of the decoder is seen once
    that of the encoder is right.
    """
    fields = wanted.fields
    shown = {one.path for one in fields.effects}
    silent = [(p, v) for p, v in numbers(fields.document) if p not in shown and _is_count(p)]
    moved = [(_is_count(one.path), one.value, at(document, one.path)) for one in fields.effects]
    remembered, ranges, likely = _counts(model), dict[Path, list[int]](), document

    def count_forgotten(variant: Mapping[str, Any]) -> float:
        """How many of the counts that the cut model remembers are others in the one that a document builds."""
        made = fields.build(variant)
        if made is None or shapes_of(made) != wanted.target:
            return float("inf")
        return (remembered - _counts(made)).total()

    for path, value in silent:
        # Key/value heads go with the heads, but not with the width, which BERT's heads go with.
        by_counts, by_widths = (
            [value * now // was for counts, was, now in moved if counts is first and now != was]
            for first in (True, False)
        )
        known = sorted({n for _, n in remembered if n < value}, reverse=True)
        ranges[path] = [one for one in dict.fromkeys((*by_counts, value, *by_widths, *known)) if one > 0]
        variants = [with_value(likely, path, one) for one in ranges[path]]
        likely = min(variants, key=count_forgotten)
    best = attempt(likely)
    if not best.equal and likely != document and (other := attempt(document)).rank > best.rank:
        best, likely = other, document
    before = None
    while before != likely and not best.equal:
        before = likely
        for path, value in silent:
            for one in dict.fromkeys((*ranges[path], *range(value, 0, -1))):
                variant = with_value(likely, path, one)
                if not best.equal and variant != likely and fields.build_shapes(variant) == wanted.target:
                    other = attempt(variant)
                    best, likely = (other, variant) if other.rank > best.rank else (best, likely)
    return best


def _is_count(path: Path) -> bool:
    return COUNTS.search(str(path[-1] if isinstance(path[-1], str) else path[-2])) is not None


def _counts(model: nn.Module) -> Counter[tuple[str, int]]:
    """The counts of heads, groups and experts that modules remember: how often each name has each value."""
    return Counter(
        (name, value)
        for one in model.modules()
        for name, value in vars(one).items()
        if type(value) is int and COUNTS.search(name)
    )


def _build_model(model: Any, config: Any, weights: Mapping[str, Tensor], shared: bool = False) -> Any:
    """A model of the same class with these weights, or copies of them, in their types, tied where the class ties."""
    own = model.config
    config._attn_implementation = own._attn_implementation
    config.dtype, config.architectures = own.dtype, [type(model).__name__]
    with torch.random.fork_rng(devices=[]), weights_on_meta() if shared else nullcontext():
        made = type(model)(config)
    types = {name: one.dtype for name, one in _tensors(model)}
    for name, one in _tensors(made):
        known = weights[name].dtype if name in weights else types.get(name, one.dtype)
        one.data = one.data.to(known)
    made.load_state_dict(dict(weights), strict=True, assign=shared)
    if shared:
        made.tie_weights()
    if model.can_generate():
        made.generation_config = model.generation_config
    return made.eval()


def _tensors(model: Any) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def compare_models(model: Any, made: Any, inputs: Inputs) -> FittedModel:
    """Compare another model of the same modules with a model, on the same inputs."""
    return _Reference(model, inputs).compare(made)


class _Reference:
    """A cut model on its example inputs: what the models that configurations build are compared with."""

    def __init__(self, model: Any, inputs: Inputs) -> None:
        """Run the model, which is left as it is."""
        self._model, self._inputs = model, inputs
        self._run = _run(model, inputs)
        if self._run.error is not None:
            raise self._run.error
        self._others = {name: one for name in ATTENTION if (one := _run(model, inputs, name)).error is None}

    @cached_property
    def _rounding(self) -> list[float]:
        """By how much each call of a module differs, and at the end the outputs, when every module rounds otherwise."""
        return self._differences(_run(self._model, self._inputs, noise=True))

    def _differences(self, run: "_Run", scaled: tuple[str, ...] = ()) -> list[float]:
        """Of each call of a module, and at the end of the outputs; infinity for other shapes."""
        pairs = zip(self._run.calls, run.calls, strict=False)
        calls = [0.0 if path in scaled else _difference(right, one) for (_, right), (path, one) in pairs]
        return [*calls, _largest_difference(self._run.outputs, run.outputs)]

    def _is_rounding(self, number: int, far: float) -> bool:
        """Whether rounding makes a difference, at a call of a module or (-1) of the outputs."""
        return far <= EQUAL or (far <= ROUNDED and far <= MARGIN * self._rounding[number])

    def compare(self, made: Any, scaled: tuple[str, ...] = ()) -> FittedModel:
        """Compare another model of the same modules; outputs of modules whose weights were scaled may differ."""
        run = _run(made, self._inputs)
        *calls, far = self._differences(run, scaled)
        same = [self._is_rounding(number, one) for number, one in enumerate(calls)]
        differing = dict.fromkeys(path for (path, _), equal in zip(run.calls, same, strict=False) if not equal)
        equal, error = self._is_rounding(-1, far), run.error
        for name, one in self._others.items() if equal else ():
            other = _run(made, self._inputs, name)
            apart, error = _largest_difference(one.outputs, other.outputs), error or other.error
            if not self._is_rounding(-1, apart):
                far, equal = max(far, apart), False
        text = "" if error is None else f"{type(error).__name__}: {error}"
        return FittedModel(made, far, equal, scaled, tuple(differing), (*same, False).index(False), text)

    def multiple(self, found: FittedModel) -> tuple[list[str], float] | None:
        """The first module that gives a multiple of what it should, and the one that ran before it; the factor."""
        runs = _run(found.model, self._inputs).calls
        if found.agreeing >= min(len(runs), len(self._run.calls)):
            return None
        (_, right), (path, one) = self._run.calls[found.agreeing], runs[found.agreeing]
        if right.shape != one.shape or not bool((one != 0).any()):
            return None
        factor = float((right * one).sum() / (one * one).sum())
        before = [runs[found.agreeing - 1][0]] if found.agreeing else []
        is_multiple = self._is_rounding(found.agreeing, _difference(right, factor * one))
        return ([path, *before], factor) if is_multiple else None


@dataclass(frozen=True, slots=True)
class _Run:
    """What a model computes: outputs, (path, output) of each call of a module with parameters of its own, in order.

    Where it does not run, the calls until then and the error.
    """

    outputs: list[Tensor]
    calls: list[tuple[str, Tensor]]
    error: Exception | None = None


def _run(model: Any, inputs: Inputs, attention: str = "", noise: bool = False) -> _Run:
    """Run a model.

    Args:
        model: Left as it is.
        inputs: Its inputs.
        attention: What computes attention, "" for what the model has now.
        noise: Change what every module computes by what a rounding is, as other kernels would.
    """
    calls: list[tuple[str, Tensor]] = []
    generator = torch.Generator().manual_seed(0)

    def note(path: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        """A hook that keeps what a module computes, and changes it where noise is asked for."""

        def hook(_module: nn.Module, _given: Any, out: Any) -> Tensor | None:
            if isinstance(out, Tensor):
                calls.append((path, out.double()))
                if noise and out.is_floating_point():
                    by = torch.rand(out.shape, generator=generator).mul(2).sub(1) * torch.finfo(out.dtype).eps
                    return out * (1 + by.to(out))
            return None

        return hook

    own = [(path, one) for path, one in modules_of(model).items() if any(True for _ in one.parameters(recurse=False))]
    configs: list[Any] = [vars(one).get("config") for one in modules_of(model).values()]
    before = [(one, one._attn_implementation) for one in configs if hasattr(one, "_attn_implementation")]
    handles = [one.register_forward_hook(note(path)) for path, one in own]
    try:
        if attention and attention != model.config._attn_implementation:
            model.set_attn_implementation(attention)
        with torch.no_grad():
            return _Run([one.tensor for one in outputs_of(call(model, copied_inputs(inputs))) if one.preserved], calls)
    except Exception as error:  # whatever the code of a class fails at with counts that do not fit
        return _Run([], calls, error)
    finally:
        for handle in handles:
            handle.remove()
        for one, implementation in before:
            one._attn_implementation = implementation


def _scale_weights(found: FittedModel, reference: _Reference) -> FittedModel:
    """The same with weights multiplied where the class computes a factor from a width (T5 scales what it decodes).

    The first module whose output is a multiple of what it should be, or the one before it, gets the factor, if that
    brings the model nearer: that one where the first shares its weight with another (Gemma's embedding and head).
    """
    for _ in range(FACTORS):
        wrong = reference.multiple(found)
        if wrong is None:
            break
        places, factor = wrong
        tried = (
            reference.compare(_copy_with_factor(found.model, path, factor, origin), (*found.scaled, path))
            for path in places
            for origin in ORIGINS
        )
        nearest = max(tried, key=lambda one: one.rank)
        if nearest.rank <= found.rank:
            break
        found = nearest
        if found.equal:
            break
    return found


def _copy_with_factor(made: Any, path: str, factor: float, origin: float) -> Any:
    """The model with the parameters of a module multiplied, counted from an origin."""
    other = copy.deepcopy(made)
    with torch.no_grad():
        for one in other.get_submodule(path).parameters(recurse=False):
            one.sub_(origin).mul_(factor).add_(origin)
    return other


def _largest_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    if len(expected) != len(found):
        return float("inf")
    return max((_difference(a.double(), b.double()) for a, b in zip(expected, found, strict=True)), default=0.0)


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    if not a.numel():
        return 0.0
    far = float((a - b).abs().max())
    return far / max(float(a.abs().max()), 1e-30) if far else 0.0


def _near_message(found: FittedModel) -> Message:
    """By how much the nearest model differs, and where."""
    if found.error:
        template = "The library's own class does not run with the nearest configuration ({error}). Plan other sizes."
        return Message("config.runs", template, {"error": found.error})
    if found.differing:
        template = (
            "With the nearest configuration the outputs differ by {difference:.1e}, which is more than rounding makes. "
            "They begin to differ in {layers}. Choose another format."
        )
        layers = listed(map(module_named, found.differing), SHOWN)
        return Message("config.near", template, {"difference": found.difference, "layers": layers})
    template = (
        "With the nearest configuration the outputs differ by {difference:.1e}, which is more than rounding makes. "
        "Choose another format."
    )
    return Message("config.near_outputs", template, {"difference": found.difference})


def _misfit_message(fields: ConfigFields, document: Mapping[str, Any], target: Shapes) -> Message:
    """Why no configuration builds these shapes."""
    # Tensors that have other sizes in other layers: "layers.*.mlp.up_proj.weight 44 (0, 1), 40 (2)".
    layer = re.compile(r"(?<=\.)\d+(?=\.)")
    sizes: dict[str, dict[tuple[int, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, shape in target.items():
        if layer.search(name):
            sizes[layer.sub("*", name)][shape].append(".".join(layer.findall(name)))
    uneven: list[Phrase] = []
    for name, found in sizes.items():
        if len(found) > 1 and name.endswith("weight"):
            each = "; ".join(f"{'x'.join(map(str, shape))} in {', '.join(layers)}" for shape, layers in found.items())
            uneven.append(Message("config.sizes", "{name} is {sizes}", {"name": name, "sizes": each}))
    if uneven:
        template = "A configuration has one size for all layers, but they differ: {places}. Plan with uniform layers."
        return Message("config.uneven", template, {"places": listed(uneven, SHOWN)})
    original = fields.build_shapes(document) or {}
    known = fields.deciding_fields
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

"""Builds a model from its source: call the factory, read the checkpoint, adapt the classes, load.

Every source goes this road, so that a checkpoint behaves the same wherever the class came from. Lazy layers get their
sizes here, because checkpoints, copies and cuts need their shapes.
"""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..adapters.torchvision_detection import classes_of, family, with_maps
from ..errors import Message, OpenError, SecateurError
from ..foreign_code.network import no_downloads
from ..inference.bfloat16 import settled
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, check
from ..runtime import load_pruned
from ..storage.allocation_budget import SINGLE, allocation_budget
from ..storage.file_limits import RATIO
from ..tasks.protocol import TaskSpec
from ..text.python_code import identifier
from ..tracing.shadow_model import whole_copy
from .builder_arguments import check_names
from .checkpoint import read_checkpoint
from .pretrained import PretrainedWeights
from .protocol import ModelSpec, SourceModel
from .state_dict_match import apply, match, shapes_of

CLASS_ARGUMENTS = ("num_classes", "n_classes", "classes", "num_labels")
"""Keyword arguments that mean the number of classes, by how common they are."""

DESCRIBED = (1 << 30) // RATIO
"""Bytes on disk that are assumed of a library's model whose sizes a file sets: it may take a gigabyte."""
LARGEST = 100_000_000
"""Weights of a model that is built twice to see whether they are random."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a source knows of a model.

    Attributes:
        make: Takes `ModelSpec.arguments` and returns a module; or the module itself.
        name: For a person.
        input_shape: Example input shape with batch, () when unknown.
        weights: Checkpoint that comes with the source, "" for none.
        task: The task it suggests.
        class_argument: Keyword argument for the number of classes, "" to look for one in the signature.
        notes: What the source has to say.
        inputs: Example inputs, () where a shape says all.
        offered: Weights that a library offers for it, None where there is none.
        library: Whose models these are, "" for the user's own.
        takes: Names of the arguments that its builder may be given, None for all that it declares.
        held: Bytes on disk that say how large the model may be, where a file describes it; None where code does.
        trained: Takes `ModelSpec.arguments` and returns the module with those weights, from the library's cache or the
            network; None where they are not wanted.
    """

    make: Callable[..., Any] | nn.Module
    name: str
    input_shape: tuple[int, ...] = ()
    weights: str = ""
    task: TaskSpec | None = None
    class_argument: str = ""
    notes: tuple[Message, ...] = field(default=())
    inputs: Inputs = ()
    offered: PretrainedWeights | None = None
    trained: Callable[..., Any] | None = None
    library: str = ""
    takes: frozenset[str] | None = None
    held: int | None = None


def open_origin(origin: Origin, spec: ModelSpec, token: CancelToken) -> SourceModel:
    """Build the model of `origin` and load its weights; raises OpenError with a sentence."""
    notes: tuple[Message, ...] = origin.notes
    model = _build(origin if origin.trained is None else replace(origin, make=origin.trained), spec)
    check(token)
    if path := spec.weights or origin.weights:
        content = read_checkpoint(path, spec.trust_pickle)
        check(token)
        found = match(content, shapes_of(model), path)
        classes = found.class_count(classes_of(model)[0] if family(model) else 0)
        argument = _class_argument(origin)
        # A head for another number of classes is no misfit: the model is built again as the checkpoint has it.
        if classes is not None and argument and argument not in spec.arguments:
            spec = replace(spec, arguments={**spec.arguments, argument: classes})
            notes += (
                Message("checkpoint.classes", "Built with {count} classes, as in the checkpoint.", {"count": classes}),
            )
            model = _build(origin, spec)
            found = match(content, shapes_of(model), path)
        notes += apply(found, model)
    shape = spec.input_shape or origin.input_shape
    untrained = not (spec.weights or origin.weights or origin.trained) and _is_untrained(origin, spec, model)
    check(token)
    if untrained and origin.offered is None:
        template = "{name} has untrained (random) weights: scores mean nothing. Open a checkpoint."
        notes += (Message("source.untrained", template, {"name": origin.name}),)
    elif untrained and origin.offered is not None:
        template = (
            "{name} has untrained (random) weights: scores mean nothing. Open a checkpoint, or the pretrained weights "
            "of {library}."
        )
        notes += (Message("source.random", template, {"name": origin.name, "library": origin.offered.library}),)
    return SourceModel(
        model=model,
        factory=factory_of(origin, spec),
        name=origin.name,
        input_shape=(max(2, shape[0]), *shape[1:]) if shape else (),
        task=origin.task,
        notes=notes,
        spec=spec,
        inputs=origin.inputs,
        untrained=untrained,
        offered=origin.offered,
    )


def _is_untrained(origin: Origin, spec: ModelSpec, model: nn.Module) -> bool:
    """Whether weights are random: most of them are others when the model is built with another seed.

    A library says itself that they are. What is handed over as a module, or sets a seed itself, counts as trained; so
    does what is too large to be built twice.
    """
    if origin.offered is not None:
        return True
    weights = {name: one for name, one in model.named_parameters() if one.ndim > 1}
    if isinstance(origin.make, nn.Module) or not 0 < sum(one.numel() for one in weights.values()) <= LARGEST:
        return False
    try:
        again = dict(_build(origin, spec, seed=1).named_parameters())
    except (OpenError, RuntimeError):  # it was built once: what fails the second time is reported where it matters
        return False
    other = sum(int((one != again[name]).sum()) for name, one in weights.items() if name in again)
    return 2 * other > sum(one.numel() for one in weights.values())


def open_module(module: nn.Module, spec: ModelSpec) -> SourceModel:
    """Open a model that is handed over as an object: a copy of it, which the factory copies again.

    Args:
        module: Any module, on any device and in any mode; left as it is.
        spec: Without a source; a shape that it has finishes lazy layers.

    Raises:
        OpenError: It cannot be copied, or it is nothing that can be cut.
    """
    origin = Origin(module, type(module).__name__)
    model = _build(origin, spec)
    return SourceModel(
        model=model, factory=partial(whole_copy, model), name=origin.name, input_shape=(), task=None, notes=()
    )


def _build(origin: Origin, spec: ModelSpec, seed: int = 0) -> nn.Module:
    """Build with a fixed seed: a model without weights is the same one each time it is opened."""
    with (
        no_downloads(origin.name, spec.download),
        torch.random.fork_rng(devices=[]),
        allocation_budget(origin.name, _allowed_bytes(origin, spec.arguments)),
    ):
        torch.manual_seed(seed)
        made = _make(origin, spec.arguments)
    if isinstance(made, torch.jit.ScriptModule):
        raise OpenError(
            "source.script",
            "{name} is a TorchScript module and cannot be cut. Open the Python class that it was made from.",
            name=origin.name,
        )
    if not isinstance(made, nn.Module):
        raise OpenError(
            "source.not_module",
            "{name} returned {what}, not a torch.nn.Module. Name a function that returns the model.",
            name=origin.name,
            what=repr(made) if made is None else type(made).__name__,
        )
    # What `torch.export` made, or a part of it: such a graph has a `train` of its own, which refuses.
    if any(isinstance(one, torch.fx.GraphModule) and "train" in vars(one) for one in made.modules()):
        raise OpenError(
            "source.program",
            "{name} is a torch.export program, which cannot switch between training and evaluation. Open the Python "
            "class that it was exported from.",
            name=origin.name,
        )
    if load_pruned.is_lazy(made):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            again = partial(_make, origin, spec.arguments)
            _finish_layers(made, again, spec.input_shape or origin.input_shape, origin.name)
    try:
        made = with_maps(made).eval().to(device="cpu")  # a detector can be asked for its maps from here on
        return made.float() if spec.float32 else settled(made)
    except (NotImplementedError, RuntimeError) as error:
        template = "{name} cannot be moved to the CPU: {error}"
        raise OpenError("source.device", template, name=origin.name, error=str(error)) from error


def _allowed_bytes(origin: Origin, arguments: dict[str, Any]) -> int | None:
    """Bytes that bound the model: of a library's with other sizes in proportion to the one without them."""
    if origin.takes is None or not arguments or isinstance(origin.make, nn.Module):
        return origin.held
    try:
        with torch.device("meta"):
            stock = sum(one.numel() for one in origin.make().parameters())
    except Exception:  # some read values while they are built
        return DESCRIBED
    return max(DESCRIBED, SINGLE * 2 * stock // RATIO)


def _make(origin: Origin, arguments: dict[str, Any]) -> Any:
    make, name = origin.make, origin.name
    if isinstance(make, nn.Module):
        try:
            return whole_copy(make)
        except Exception as error:
            raise OpenError(
                "source.copy",
                "The module {name} cannot be copied ({error}). Name a function that builds it instead.",
                traceback.format_exc(),
                name=name,
                error=str(error),
            ) from error
    if origin.takes is not None:
        check_names(origin.library, arguments, origin.takes)
    for argument in arguments:
        identifier(argument)  # it is written into the code of an export
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # a callable that has none
        signature = None
    try:
        if signature is not None:
            signature.bind(**arguments)
    except TypeError as error:
        raise OpenError(
            "source.arguments",
            "{name}{signature} cannot be called with the given arguments: {error}. Name a function that needs none, "
            "for example one that calls {name} with your values.",
            name=name,
            signature=str(signature),
            error=str(error),
        ) from error
    try:
        return make(**arguments)
    except SecateurError:
        raise
    except Exception as error:
        raise OpenError(
            "source.build_failed",
            "{name} could not be built: {kind}: {error}",
            traceback.format_exc(),
            name=name,
            kind=type(error).__name__,
            error=str(error),
        ) from error


def factory_of(origin: Origin, spec: ModelSpec) -> Callable[[], nn.Module]:
    """What makes a fresh module of an origin, with the arguments of a specification."""
    return partial(_build, origin, spec)


def _class_argument(origin: Origin) -> str:
    """The keyword that sets the number of classes, "" where there is none."""
    if origin.class_argument or isinstance(origin.make, nn.Module):
        return origin.class_argument
    try:
        parameters = inspect.signature(origin.make).parameters
    except (TypeError, ValueError):
        return ""
    return next((name for name in CLASS_ARGUMENTS if name in parameters), "")


def _finish_layers(model: nn.Module, make: Callable[[], Any], shape: tuple[int, ...], name: str) -> None:
    """Give the lazy layers of a model their sizes, as a run of another one finds them; the model itself does not run.

    Args:
        model: Its lazy layers are initialised, in the order in which they run.
        make: Makes another one, which runs once on zeros.
        shape: Of the model's input, with batch; () when unknown.
        name: For a person.

    Raises:
        OpenError: The shape is unknown, the other one does not run on it, or does not reach a lazy layer.
    """
    if not shape:
        raise OpenError(
            "open.lazy",
            "{name} has lazy layers, which get their sizes from the first input. Enter the input shape, or run the "
            "model once on example data in the function that builds it.",
            name=name,
        )
    words = {"name": name, "shape": "x".join(map(str, shape))}
    try:
        load_pruned.initialize_lazy(model, cast("nn.Module", make()), shape)
    except Exception as error:  # whatever the model's own code raises
        raise OpenError(
            "open.lazy_failed",
            "{name} has lazy layers, which get their sizes from the first input, and fails on an input of {shape}: "
            "{error}. Run the model once on example data in the function that builds it.",
            traceback.format_exc(),
            **words,
            error=str(error).strip().rstrip("."),
        ) from error
    left = next((path for path, one in (*model.named_parameters(), *model.named_buffers()) if is_lazy(one)), "")
    if left:
        raise OpenError(
            "open.lazy_unused",
            "{name} has lazy layers that an input of {shape} does not reach ({parameter}), so they have no sizes. Run "
            "them once in the function that builds the model, or remove them.",
            **words,
            parameter=left,
        )

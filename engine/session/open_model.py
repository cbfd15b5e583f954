"""From a specification to a model that can be worked on: opened, with its task, its example inputs and its analysis.

The task comes before the analysis: wrong preprocessing or other classes are found in seconds, before anything is built
on them.
"""

import inspect
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..adapters.torchvision_detection import analysis_inputs
from ..errors import AnalysisError, Message, OpenError, SecateurError, TaskError
from ..foreign_code.consent import Consent
from ..inference.batch_parts import PassLimit, in_parts
from ..inference.bfloat16 import in_bfloat16, narrowed
from ..inference.model_inputs import Inputs, few, mapped, named_arrays
from ..jobs import CancelToken, Job, Progress, check
from ..machine.devices import CPU, device_for, placed
from ..messages import Phrase, all_of, listed
from ..sources.build_model import open_module
from ..sources.hugging_face import folder_of
from ..sources.nan_check import no_numbers
from ..sources.open import open_model
from ..sources.protocol import FLOATS, InputSpec, ModelSpec, SourceModel, change_model, check_inputs
from ..storage.file_limits import read_whole
from ..storage.paths import absolute_to
from ..structures.analysis import Analysis
from ..surgery.cut.trial_cuts import settle
from ..surgery.repair.keep_class import keep_own_class
from ..surgery.repair.keep_uniform import keep_uniform
from ..tasks.data_hints import better_normalisation, other_class_order
from ..tasks.evaluate import evaluate_samples_on, sample_tokens
from ..tasks.model_outputs import channels_taken, classes_of, evaluating, run_model, tokens_taken
from ..tasks.open import NAMED, RESIZED, TABLES, open_task, require_place, with_kind
from ..tasks.predictions import Evaluation
from ..tasks.preprocessing import Preprocessing, of_hugging_face, preprocessed_as, remark_on_found, without_found
from ..tasks.protocol import (
    BFLOAT16,
    CLASSES,
    DTYPE,
    FOUND_PREPROCESSING,
    GREY,
    PACKING,
    TOKENIZER,
    Metric,
    Split,
    Task,
    TaskInfo,
    TaskSpec,
    one_mean,
    option,
)
from ..tasks.purposes.table import purpose_of_model
from ..tasks.tokens import LENGTH, WITH_TEXT, beside_data
from ..tasks.user_task import UserTask
from ..text.format import thousands
from ..tracing.tree import copied_inputs, outputs_of, tensors_of

MASKS = "mask"
"""In the name of an input that says which tokens are there: its values are all 1."""


def made_inputs(specs: tuple[InputSpec, ...], model: Any, batch: int) -> Inputs:
    """Inputs of these shapes and types: random floats, and integers as large as the model's tables allow.

    Args:
        specs: One for each input; by name where they have names.
        model: Is run to find how large its integers may be.
        batch: Size of the first dimension, of all inputs that have the same there as the first one.
    """
    generator = torch.Generator().manual_seed(0)
    # Inputs that share the first one's batch are samples of one batch; others (a table, a state) keep their size.
    given = specs[0].shape[0]
    shapes = [(batch, *one.shape[1:]) if one.shape[0] == given else one.shape for one in specs]
    values = [_first_values(one, shape, generator) for one, shape in zip(specs, shapes, strict=True)]

    def together() -> Inputs:
        return {one.name: v for one, v in zip(specs, values, strict=True)} if specs[0].name else tuple(values)

    integers = [n for n, one in enumerate(specs) if one.dtype not in (*FLOATS, "bool") and MASKS not in one.name]
    bounds = _table_sizes(model) if integers else []
    # What an integer may be is not known: a token is below the rows of some embedding, so the largest table that the
    # model accepts is taken, and 0 and 1 where none is.
    for number in integers:
        before = values[number]
        for bound in bounds:
            most = min(bound, torch.iinfo(before.dtype).max)
            values[number] = torch.randint(0, most, before.shape, generator=generator).to(before.dtype)
            if runs(model, together()):
                break
            values[number] = before
    return together()


def _first_values(one: InputSpec, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    dtype = cast("torch.dtype", getattr(torch, one.dtype))
    if one.dtype in FLOATS:
        return torch.randn(shape, generator=generator).to(dtype)
    if one.dtype == "bool" or MASKS in one.name:
        return torch.ones(shape, dtype=dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)


def _table_sizes(model: Any) -> list[int]:
    """How many rows the embeddings of a model have, the largest first."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return sorted({one.num_embeddings for one in modules if isinstance(one, nn.Embedding)}, reverse=True)


def runs(model: Any, inputs: Inputs) -> bool:
    """Whether a model takes these inputs."""
    try:
        with evaluating(model):
            run_model(model, copied_inputs(inputs))
    except TaskError:
        return False
    return True


def integer_inputs(model: nn.Module, inputs: Inputs) -> list[str]:
    """Names of floating inputs in whose place the model takes integers: one of them alone, or all; [] for none."""
    floating = [path for path, one in named_arrays(inputs) if one.is_floating_point()]
    for asked in [[path] for path in floating] + ([floating] if len(floating) > 1 else []):
        if runs(model, _with_integers(inputs, asked)):
            return [_argument(model, inputs, path) for path in asked]
    return []


def _with_integers(inputs: Inputs, paths: list[str]) -> Inputs:
    places = iter([path for path, _ in named_arrays(inputs)])
    return mapped(inputs, lambda one: torch.zeros(one.shape, dtype=torch.int64) if next(places) in paths else one)


def _argument(model: nn.Module, inputs: Inputs, path: str) -> str:
    """What the forward calls the input at a path; the path where it has no name for it."""
    if isinstance(inputs, Mapping) or not path.isdecimal():
        return path
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):  # a forward that is no Python function
        return path
    return names[int(path)] if int(path) < len(names) else path


LARGEST = 1 << 27
"""Values that a sample of example inputs may have: half a gigabyte; large volumes of scans have less."""
SMALL_BATCH = 2
"""Examples the model is recorded with: the smallest batch that is no 1."""
FOUND = (CLASSES, GREY, PACKING, DTYPE, "length", "tokenizer", "purpose")
"""Options of a task that are found by themselves where nobody gives them."""
PROCESSOR = "preprocessor_config.json"
"""What Hugging Face keeps beside the weights of a model that takes images."""
TEXT, LANGUAGE = "text", ("causal", "masked")
"""Plain text, and the purposes that it may have: which one, the model's class says where nobody does."""
CLASSES_NAMED = 8
"""Classes that a sentence names."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An opened model with what it is run on.

    Attributes:
        spec: As it was opened, the task that the source suggested included.
        opened: The model and how to make another.
        task: What evaluates it, None without one.
        inputs: Example inputs [2, ...].
    """

    spec: ModelSpec
    opened: SourceModel
    task: Task | None
    inputs: Inputs


def prepare(
    spec: ModelSpec, token: CancelToken, consent: Consent, module: nn.Module | None = None, examples: Inputs = ()
) -> Job[Prepared]:
    """Open a model and its task, of code what is consented to; raises OpenError or TaskError with a sentence.

    Args:
        spec: What to open; without a source where a module is given.
        token: Cancels the job.
        consent: What of foreign code may run.
        module: A model that is handed over as an object, left as it is; None where the source names one.
        examples: Inputs [N, ...], () for those of the task, the source or the shape that was asked for.
    """
    # Said first: a download may take minutes without any further word.
    fetches = spec.download and spec.pretrained
    yield Progress("Opening the model, downloading its weights" if fetches else "Opening the model")
    opened = open_model(spec, token, consent) if module is None else open_module(module, spec)
    check(token)
    if opened.preprocessing is None:
        opened = replace(opened, preprocessing=preprocessing_beside(spec, opened.model))
    given = spec.task or opened.task
    as_opened = replace(opened.spec or spec, task=None if given is None else with_tokenizer(given, spec))
    yield Progress("Opening the data")
    task = None if as_opened.task is None else opened_task(as_opened.task, opened.model, consent, opened.preprocessing)
    if task is not None:
        as_opened = replace(as_opened, task=task.spec)
    check(token)
    if examples:
        inputs = analysis_inputs(opened.model, examples)
        if task is not None:
            same_shape(example_inputs((), task, None, opened.model), inputs, task.spec)
    else:
        inputs = example_inputs(as_opened.asked_inputs, task, opened, opened.model)
    if isinstance(task, UserTask) and not task.can_evaluate:
        task = None  # its file gives the example inputs, and nothing to evaluate
    if not as_opened.float32 and in_bfloat16(opened.model):
        either = task is None or option(task.spec, DTYPE) == BFLOAT16
        tried = (inputs, narrowed(inputs)) if either else (inputs,)
        # Code of models in bfloat16 often makes float32 of its own on the way; where it does not run so, all of it is
        # widened.
        found = next((one for one in tried if runs(opened.model, one)), None)
        if found is None:
            wide = yield from prepare(replace(spec, float32=True), token, consent, module, examples)
            template = "The model's code or data needs float32, so the model was converted from bfloat16."
            notes = (*wide.opened.notes, Message("open.float32", template))
            return replace(wide, opened=replace(wide.opened, notes=notes))
        inputs = found
    # Weights may be NaN or infinity where no output shows it (a mask in a buffer): that is a remark, not an error.
    if named := no_numbers(opened.model):
        with evaluating(opened.model):
            outputs = [one.tensor for one in outputs_of(run_model(opened.model, inputs))]
        if not all(bool(one.isfinite().all()) for one in outputs if one.is_floating_point()):
            template = "The weights contain NaN or infinity, so the outputs do too: {weights}. Open another checkpoint."
            raise OpenError("open.no_numbers", template, weights=named)
        template = "The weights contain NaN or infinity, but the outputs do not: {weights}."
        opened = replace(opened, notes=(*opened.notes, Message("open.some_no_numbers", template, {"weights": named})))
    if task is not None:
        check_outputs(opened.model, inputs, task)
    return Prepared(as_opened, opened, task, inputs)


def as_found(spec: ModelSpec) -> ModelSpec:
    """What was asked for, its paths whole and the kind of its data found; raises TaskError where there is none."""
    spec = change_model(spec, absolute_to(Path.cwd()))
    if spec.task is None:
        return spec
    task = with_kind(spec.task)
    require_place(task)
    return replace(spec, task=task)


def opened_task(spec: TaskSpec, model: Any, consent: Consent, found: Preprocessing | None = None) -> Task:
    """The task of a specification, with what it needs to know of the model that it is for.

    Images are prepared as the model's source says (`found`), where nobody says otherwise, and get as many channels as
    the model takes, where it refuses others. Texts are no longer than its configuration allows, classes that are words
    are numbered as it has them, and a model in bfloat16 that takes no float32 gets inputs of its own type.
    """
    spec = replace(spec, options=tuple(one for one in spec.options if one[0] != DTYPE))  # that of another model
    spec = preprocessed_as(spec, found)
    task = _opened_task(spec, model, consent)
    if not in_bfloat16(model):
        return task
    given = example_inputs((), task, None, model)
    if not any(one.is_floating_point() for one in tensors_of(given)) or runs(model, given):
        return task
    # The data gives float32, which a model in bfloat16 refuses: the same data in the model's own type, if that helps.
    half = open_task(replace(task.spec, options=(*task.spec.options, (DTYPE, BFLOAT16))), consent)
    return half if runs(model, example_inputs((), half, None, model)) else task


def _opened_task(spec: TaskSpec, model: Any, consent: Consent) -> Task:
    most = tokens_taken(model) if spec.kind in WITH_TEXT and not option(spec, "length") else None
    if most is not None and most < LENGTH:
        spec = replace(spec, options=(*spec.options, ("length", str(most))))
    # A causal and a masked model read the same file, but not with the same targets: its class says which.
    purpose = purpose_of_model(model) if spec.kind == TEXT and not option(spec, "purpose") else ""
    if purpose in LANGUAGE:
        spec = replace(spec, options=(*spec.options, ("purpose", purpose)))
    if order := classes_of(model):  # the numbers of another model, whose recipe this is of, are none of this one's
        spec = replace(spec, options=tuple(one for one in spec.options if one[0] != CLASSES))
    task = open_task(spec, consent)
    if spec.kind in NAMED and _otherwise(task.info(None).classes, order):
        spec = replace(spec, options=(*spec.options, (CLASSES, json.dumps(order))))
        task = open_task(spec, consent)
    # Only where the model takes one or three channels is there a choice between grey and colour.
    other = {1: "yes", 3: "no"}.get(channels_taken(model) or 0, "")
    if spec.kind not in RESIZED or option(spec, GREY) or not other or (other == "yes") == one_mean(spec):
        return task
    try:
        with evaluating(model):
            run_model(model, few(analysis_inputs(model, task.example_inputs()), SMALL_BATCH))
    except TaskError as error:
        if error.message.code == "task.channels":
            return open_task(replace(spec, options=(*spec.options, (GREY, other))), consent)
    return task


def _otherwise(classes: tuple[str, ...], order: tuple[str, ...]) -> bool:
    """Whether the classes of the data have other numbers in an order that has them all."""
    return bool(classes) and classes != order and set(classes) <= set(order)


def asks_for(asked: TaskSpec, known: TaskSpec | None) -> bool:
    """Whether a known task is what is asked for, where what was found by itself is not asked for otherwise."""
    if known is None:
        return False
    # What was found of the preprocessing is compared only where it is asked for.
    if not option(asked, FOUND_PREPROCESSING):
        known = without_found(known)
    found = {name: value for name, value in known.options if name in FOUND}
    same = replace(asked, options=()) == replace(known, options=())
    return same and found | dict(asked.options) == dict(known.options)


def with_tokenizer(task: TaskSpec, model: ModelSpec) -> TaskSpec:
    """A task that reads text by the tokenizer beside the model's weights or code, where it has no other."""
    if task.kind not in WITH_TEXT or option(task, "tokenizer") or beside_data(task).is_file():
        return task
    code = model.source.rpartition(":")[0] or model.source
    places = [folder_of(model), *(Path(path).parent for path in (model.weights, code) if path)]
    found = next((file for place in places if place is not None and (file := place / TOKENIZER).is_file()), None)
    return task if found is None else replace(task, options=(*task.options, ("tokenizer", str(found))))


def preprocessing_beside(spec: ModelSpec, model: Any) -> Preprocessing | None:
    """What the `preprocessor_config.json` beside a model's weights, its code or its configuration says."""
    code = spec.source.rpartition(":")[0] or spec.source
    loaded_from = str(getattr(getattr(model, "config", None), "_name_or_path", "") or "")
    places = [Path(path).parent for path in (spec.weights, code) if path] + [Path(loaded_from)] * bool(loaded_from)
    file = next((place / PROCESSOR for place in places if (place / PROCESSOR).is_file()), None)
    if file is None:
        return None
    try:
        told: Any = json.loads(read_whole(file, error=OpenError))
    except ValueError:
        return None
    return of_hugging_face(file.name, cast("dict[str, Any]", told)) if isinstance(told, dict) else None


def analysed(prepared: Prepared, token: CancelToken) -> Job[Analysis]:
    """The analysis of a prepared model: what it offers has been cut on trial."""
    opened, inputs, spec = prepared.opened, prepared.inputs, prepared.spec
    try:
        analysis = yield from settle(
            opened.model, inputs, name=opened.name, token=token, outputs=spec.outputs, ignore_unused=spec.ignore_unused
        )
    except AnalysisError as error:
        # The most frequent reason why a forward fails: token numbers where a shape alone was given, which means floats.
        integers = integer_inputs(opened.model, inputs) if error.message.code == "analysis.forward" else []
        if not integers:
            raise
        template = (
            "{names} must hold integers, such as token numbers, but got floating-point numbers. Enter the type with "
            "the shape, for example {example}."
        )
        example = Message("open.typed_input", "{name}=2x16:int64", {"name": integers[0]})
        raise OpenError("open.integers", template, error.details, names=all_of(integers), example=example) from error
    # The user's conditions narrow an analysis that is otherwise complete, so they come last.
    if spec.uniform:
        analysis = keep_uniform(opened.model, analysis)
    return (yield from keep_own_class(opened.model, analysis, inputs, token)) if spec.own_class else analysis


def run_evaluation(
    task: Task,
    model: Any,
    split: Split,
    token: CancelToken,
    shown: str | Message,
    device: str = CPU,
    limit: PassLimit | None = None,
    asked: bool = False,
    only: NDArray[np.int64] | None = None,
) -> Job[Evaluation]:
    """Evaluate as `evaluate_samples_on` does; an error of the model or the data becomes a TaskError."""
    yield Progress(shown)
    try:
        job = evaluate_samples_on(task, model, split, token, device=device, limit=limit, asked=asked, only=only)
        found = yield from job
        return replace(found, metric=found.metric.measured_now())
    except SecateurError:
        raise
    except Exception as error:
        raise _failed(error) from error


def first_look(
    task: Task,
    model: Any,
    token: CancelToken,
    untrained: bool = False,
    device: str = CPU,
    limit: PassLimit | None = None,
    keep: Callable[[Evaluation], Metric] = lambda found: found.metric,
) -> Job[tuple[tuple[Metric, ...], TaskInfo]]:
    """What the original scores on a task, and what to show of it: wrong preprocessing is found here.

    What an untrained model gets right by chance says nothing of its data. It runs as `evaluate_on` lets it.
    `keep` takes the predictions, and gives the metric that names them.
    """
    where = yield from device_for(device, model)
    with placed(where, model):
        info = described(task, model)  # First: data without labels is compared with what the original says.
        began = time.monotonic()
        shown = Message("progress.original", "Evaluating the original")
        metric = keep((yield from run_evaluation(task, model, Split.TEST, token, shown, where, limit)))
        samples = info.sizes.get(Split.TEST, 0) or metric.count  # of a language model it counts tokens
        seconds = (time.monotonic() - began) / max(samples, 1)
        prepared = remark_on_found(task.spec)
        # Which class has which number, where a table has names for them and the model does not say its own numbers.
        if info.spec is None or info.spec.kind not in TABLES or not info.classes or info.classes == classes_of(model):
            numbering = ()
        else:
            template = (
                "Class numbers: {classes}. If the model numbers its classes differently, use a column that holds the "
                "model's output numbers."
            )
            numbering = (Message("open.numbering", template, {"classes": numbered(info.classes)}),)
        notes = (*numbering, *getattr(task, "remarks", ()), *([prepared] if prepared else []))
        info = replace(info, seconds=seconds, notes=notes)
        # By chance an untrained model may get more right with other classes or another mean.
        if untrained:
            return (metric,), info
        with in_parts(model, PassLimit() if limit is None else limit):
            order = yield from other_class_order(task, model, info.classes, token)
        if order is not None:
            return (metric,), replace(info, notes=(*info.notes, order.message), reordered=order.spec)
        with in_parts(model, PassLimit() if limit is None else limit):
            remark = yield from better_normalisation(task, model, token)
        if remark is None:
            return (metric,), info
        return (metric,), replace(info, notes=(*info.notes, remark.message), better=remark.spec)


def numbered(classes: tuple[str, ...]) -> Phrase:
    """Classes with their numbers: "high 0, low 1"."""
    return listed((f"{name} {number}" for number, name in enumerate(classes)), CLASSES_NAMED)


def described(task: Task, model: Any | None) -> TaskInfo:
    """What to show of a task, with a model's predictions; an error of the model or the data becomes a TaskError."""
    try:
        info = task.info(model)
        batches = {split.value: count for split in Split if (count := task.batch_count(split))}
        tokens, remarks = sample_tokens(task), (*info.notes, *getattr(task, "remarks", ()))
        return replace(info, batches=batches, batch=task.spec.batch, tokens=tokens, notes=remarks, spec=task.spec)
    except SecateurError:
        raise
    except Exception as error:
        raise _failed(error) from error


def example_inputs(asked: tuple[InputSpec, ...], task: Task | None, opened: SourceModel | None, model: Any) -> Inputs:
    """Example inputs with a small batch: those that were asked for, from the task, or as the source suggests.

    Args:
        asked: Inputs that were asked for, () for none in particular.
        task: What evaluates the model, None without one.
        opened: Says what the source suggests, None where that does not count.
        model: The model.

    Raises:
        OpenError: Nothing says what the inputs look like, or they are too large.
    """
    if not asked and task is not None:
        return few(analysis_inputs(model, task.example_inputs()), SMALL_BATCH)
    if not asked and opened is not None and opened.inputs:
        return opened.inputs
    suggested = opened.input_shape if opened is not None else ()
    specs = asked or ((InputSpec(suggested),) if suggested else ())
    if not specs:
        raise OpenError(
            "open.no_input",
            "Input shape needed. Enter one, for example 1x3x224x224 or input_ids=2x16:int64, or attach data.",
        )
    try:
        check_inputs(specs)
    except ValueError as error:
        template = "The example inputs cannot be made: {reason}."
        raise OpenError("open.inputs", template, reason=str(error)) from error
    for one in specs:
        if min(one.shape) < 1 or math.prod(one.shape[1:]) > LARGEST:
            template = (
                "A model cannot run on an input of {shape}. Use sizes of at least 1 and at most {most} values a sample."
            )
            shape = "x".join(map(str, one.shape))[:80]
            raise OpenError("open.input_size", template, shape=shape, most=thousands(LARGEST))
    return analysis_inputs(model, made_inputs(specs, model, SMALL_BATCH))


def check_outputs(model: Any, inputs: Inputs, task: Task) -> None:
    """Raise TaskError when the data has more or fewer classes than the model."""
    classes = len(task.info(None).classes)
    with evaluating(model):
        found = run_model(model, inputs)
    outputs = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else classes
    if classes and outputs != classes:
        template = (
            "The data has {classes} classes, but the model has {outputs} outputs. Open the data that it was trained "
            "on, or a task.py that numbers labels like the model's outputs."
        )
        raise TaskError("open.classes", template, classes=classes, outputs=outputs)


def same_shape(inputs: Inputs, analysed_with: Inputs, spec: TaskSpec) -> None:
    """Raise TaskError when a task's inputs have not the names and shapes that the model was analysed with."""
    shapes, known = _shapes(inputs), _shapes(analysed_with)
    if shapes != known:
        template = (
            "{task} gives inputs of shape {shapes}, but the model was opened with {known}. Open the model again "
            "with this data."
        )
        task = spec.path or Message("open.data", "The data")
        raise TaskError("open.shapes", template, task=task, shapes=_in_words(shapes), known=_in_words(known))


def _shapes(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    """Shape of each input without its batch."""
    return {path: tuple(one.shape[1:]) for path, one in named_arrays(inputs)}


def _in_words(shapes: dict[str, tuple[int, ...]]) -> Phrase:
    """Shapes, each with its name where it has one: "1x8x8", "ids 12"."""
    number = Message("open.number", "a number")
    sizes = {path: "x".join(map(str, shape)) or number for path, shape in shapes.items()}
    return listed(
        size if path[:1].isdigit() else Message("open.named_input", "{name} {size}", {"name": path, "size": size})
        for path, size in sizes.items()
    )


def _failed(error: Exception) -> TaskError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    template = "The model failed on the data: {error}. Check the preprocessing and the input size."
    return TaskError("open.run", template, details=traceback.format_exc(), error=first.rstrip("."))

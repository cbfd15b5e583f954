"""Makes a `Record`: runs the model once in eval mode and records every operator.

A large model runs for its shapes only, without weights (`shapes.py`); a small one, and one whose flow depends on
values, runs for real. Either way it is a twin that runs, so that the model is left as it was.
"""

import inspect
import linecache
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map_only

from ..errors import AnalysisError, Message
from ..machine.operating_system import uncollected
from ..messages import Phrase, all_of, listed
from .attribute_reads import AttributeReads
from .dispatch_mode import FunctionRecorder, OperatorRecorder, has_no_literals
from .isolated_forward import quiet_forward
from .record import FunctionCall, OperatorCall, Record, RecordedOutput
from .shadow_model import isolated_copy, stand_in_tensor, weightless_copy
from .tree import Inputs, call, holds_numbers, modules_of, outputs_of, tensors_of

CALLED = "_compiled_call_impl"
"""Where `nn.Module.__call__` looks for another way to run a module; hooks would cost many times more."""
SMALL = 1_000_000
"""Elements of parameters and inputs up to which a model runs for real: that takes a few milliseconds."""


@uncollected()
def record(model: nn.Module, inputs: Inputs, outputs: Sequence[str] = (), training: bool = False) -> Record:
    """Run the model once on its example inputs and return what happened. The model is left as it was found.

    Args:
        model: Any module.
        inputs: Positional as a tuple, by name as a mapping; first dimension the batch.
        outputs: Paths of the outputs that are preserved ("logits", "0"); see `outputs_of` for the default.
        training: In training mode, for branches that evaluation does not take.

    Raises:
        AnalysisError: The forward raised, gave no tensor, or none under the chosen paths.
    """
    _require_plain_module(model)
    run = None
    parameters = list(model.parameters())
    size = sum(0 if is_lazy(p) else p.numel() for p in parameters) + sum(t.numel() for t in tensors_of(inputs))
    on_meta = any(p.is_meta for p in parameters)
    if size > SMALL or on_meta:
        blank = _copy_if_possible(weightless_copy, model)
        run = None if blank is None else _run(blank, inputs, training, weightless=True, twin=True)
        # What fails without values may ask for one (`if x.max() > 1`), so it is run for real as well.
        if run is not None and run.error is not None and not on_meta:
            run = None
    if run is None:
        own = _copy_if_possible(isolated_copy, model)
        run = _run(model if own is None else own, inputs, training, twin=own is not None)
    recorder = run.recorder
    if run.error is not None:
        raise _forward_error(run.error, model, inputs) from run.error
    returned = outputs_of(run.result, outputs)
    preserved = [one.tensor for one in returned if one.preserved]
    if outputs and not preserved:
        tensor, none = Message("analysis.tensor", "one tensor"), Message("analysis.none", "none")
        raise AnalysisError(
            "analysis.outputs",
            "The model has no output {wanted}. Choose from {names}.",
            wanted=listed(outputs),
            names=listed([one.path or tensor for one in returned] or [none]),
        )
    if not preserved:
        raise AnalysisError("analysis.no_output", "The model's forward returned no tensor. Return at least one.")
    given, values = tensors_of(run.inputs), tuple(recorder.number(t) for t in preserved)
    exposed = dict.fromkeys(recorder.exposed)
    # A Python float among the outputs may come from any `item()`: which one, no mode sees.
    if holds_numbers(run.result):
        exposed |= dict.fromkeys(c.reads[0] for c in recorder.calls if c.op == "aten._local_scalar_dense")
    return Record(
        calls=tuple(recorder.calls),
        module_calls=tuple(recorder.module_calls),
        sources=tuple(recorder.sources),
        modules=tuple(_describe_modules(model)),
        shapes=tuple(recorder.shapes),
        inputs=tuple(recorder.number(t) for t in given),
        outputs=values,
        batch=given[0].shape[0] if given and given[0].ndim else 1,
        input_shapes=tuple(tuple(t.shape) for t in given),
        functions=tuple(recorder.functions),
        chosen=tuple(outputs),
        weightless=run.weightless,
        dtypes=tuple(recorder.dtypes),
        ends=tuple(recorder.ends),
        returned=tuple(RecordedOutput(one.path, tuple(one.tensor.shape), one.preserved) for one in returned),
        exposed=tuple(exposed),
        constants=frozenset(recorder.constants),
        handed=tuple(recorder.handed),
        compared_sizes=frozenset(recorder.compared_sizes),
        replaced=tuple(recorder.replaced),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run that may have failed.

    Attributes:
        calls: Operators in order, up to the failure.
        shapes: Shape of each value.
        error: What the forward raised, None when it ended.
        module: Path of the module whose forward raised.
        functions: Calls with numbers in them.
        weights: Values of parameters and buffers.
        reads: Attributes that were read, None where that is unknown.
    """

    calls: tuple[OperatorCall, ...]
    shapes: tuple[tuple[int, ...], ...]
    error: Exception | None
    module: str
    functions: tuple[FunctionCall, ...]
    weights: tuple[int, ...]
    reads: AttributeReads | None = None


@uncollected()
def attempt(
    model: nn.Module,
    inputs: Inputs,
    weightless: bool = False,
    watched: bool = True,
    reading: bool = False,
    gradient: bool = False,
) -> Attempt:
    """Run a model that may not work yet, and report how far it came.

    Args:
        model: Any module; one without weights where the run is weightless.
        inputs: Example inputs.
        weightless: Run for the shapes only.
        watched: Note the calls with numbers in them.
        reading: Note which attributes are read.
        gradient: Let autograd record the run, as code may ask whether it does.
    """
    # A twin even where there are no weights: a forward may keep what it made (a bias table), and not make it again.
    own = _copy_if_possible(isolated_copy, model)
    reads = AttributeReads(own) if reading and own is not None else None
    with nullcontext() if reads is None else reads.noted():
        run = _run(
            model if own is None else own,
            inputs,
            weightless=weightless,
            briefly=True,
            watched=watched,
            twin=own is not None,
            gradient=gradient,
        )
    recorder = run.recorder
    calls, functions = tuple(recorder.calls), tuple(recorder.functions)
    return Attempt(calls, tuple(recorder.shapes), run.error, recorder.raised, functions, recorder.weights, reads)


@dataclass(frozen=True, slots=True)
class _Run:
    recorder: OperatorRecorder
    inputs: Inputs
    result: Any
    error: Exception | None
    weightless: bool


def _copy_if_possible(make: Callable[[nn.Module], nn.Module], model: nn.Module) -> nn.Module | None:
    try:
        return make(model)
    except Exception:  # whatever a module's own copying raises
        return None


def _run(
    model: nn.Module, inputs: Inputs, training: bool = False, weightless: bool = False, briefly: bool = False,
    watched: bool = True, twin: bool = False, gradient: bool = False,
) -> _Run:  # fmt: skip
    """One run; the inputs are copied, as a forward may change them. A brief one notes no flops.

    Where it is not watched, the numbers in forwards are not noted.
    """
    given: Inputs = tree_map_only(torch.Tensor, stand_in_tensor if weightless else torch.clone, inputs)
    recorder = OperatorRecorder(weightless, briefly)
    (recorder.weigh if briefly else recorder.note_sources)(model)
    recorder.inputs = frozenset(id(t) for t in tensors_of(given))
    functions = FunctionRecorder(recorder, constants=not briefly) if watched else None
    with (
        quiet_forward(model, training, twin, gradient=gradient),
        _modules_reported(model, recorder, functions),
        recorder,
        functions or nullcontext(),
    ):
        try:
            result = call(model, given)
            if not briefly:
                recorder.note_replaced(model)
            return _Run(recorder, given, result, None, weightless)
        except Exception as error:  # whatever the model's own code raises
            return _Run(recorder, given, None, error, weightless)


@contextmanager
def _modules_reported(
    model: nn.Module, recorder: OperatorRecorder, functions: FunctionRecorder | None
) -> Generator[None]:
    """Let a recorder know when the forward of each of a model's modules begins and ends."""
    before: list[tuple[dict[str, Any], Any]] = []

    def reported(path: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, with word to the recorder before and after; also after one that raised."""

        def run_reported(*args: Any, **kwargs: Any) -> Any:
            recorder.enter(path, args, kwargs)
            result = None
            try:
                result = run(*args, **kwargs)
                return result
            finally:
                recorder.leave(result)

        return run_reported

    for path, module in modules_of(model).items():
        own = vars(module)
        before.append((own, own.get(CALLED)))
        run = cast("Callable[..., Any]", module._call_impl)  # pyright: ignore[reportPrivateUsage]
        if functions is not None and has_no_literals(module):
            run = functions.around(run)
        own[CALLED] = reported(path, run)
    try:
        yield
    finally:
        for own, other in before:
            if other is None:
                del own[CALLED]
            else:
                own[CALLED] = other


def _describe_modules(model: nn.Module) -> Iterator[tuple[str, str, str, bool]]:
    """See `Record.modules`; the detail is the kernel of a convolution or pooling: "3x3, stride 2"."""
    for path, module in modules_of(model).items():
        detail = ""
        kernel: Any = vars(module).get("kernel_size")
        if isinstance(kernel, tuple):
            detail = "x".join(map(str, cast("tuple[Any, ...]", kernel)))
            stride: Any = getattr(module, "stride", None)
            if isinstance(stride, tuple) and any(s != 1 for s in cast("tuple[Any, ...]", stride)):
                detail += f", stride {stride[0]}"
        steps = isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        yield path, type(module).__name__, detail, steps


OURS = Path(__file__).resolve().parents[1]
TORCH = Path(torch.__file__).resolve().parent
LIBRARIES = ("site-packages", "dist-packages")
SHARDED = ("FullyShardedDataParallel", "FSDPModule")
"""Classes of modules whose parameters are spread over processes."""


def _require_plain_module(model: nn.Module) -> None:
    """Refuse what holds a model but is no plain module, with what to do instead.

    Raises:
        AnalysisError: The model is compiled to TorchScript, or its parameters are spread over processes.
    """
    for path, module in modules_of(model).items():
        if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise AnalysisError(
                "analysis.scripted",
                "{path} is compiled to TorchScript and has no Python code to repair after a cut. Open the Python "
                "class that it was made from, and script the cut model.",
                path=path or Message("analysis.this_model", "The model"),
            )
        if any(one.__name__ in SHARDED for one in type(module).__mro__):
            raise AnalysisError(
                "analysis.sharded",
                "{path} is spread over processes (FSDP), so its parameters have no channels here. Cut the model "
                "first, then wrap the result.",
                path=path or Message("analysis.this_model", "The model"),
            )


def _forward_error(error: Exception, model: nn.Module, inputs: Inputs) -> AnalysisError:
    """The error for a forward that raised: which inputs are missing, else where it raised and what."""
    details = "".join(traceback.format_exception(error)[-8:])
    missing = _missing_inputs(model, inputs)
    if missing:
        return AnalysisError(
            "analysis.missing_input",
            "The model's forward also needs {missing}. Give example inputs for all of them, by position or by name, "
            "or give {missing} a default in the code.",
            details=details,
            missing=all_of(missing),
        )
    # The innermost line of the user's own code, else of a library's; torch's and ours help no one.
    own: Phrase = ""
    library: Phrase = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename).resolve()
        if frame.lineno is None or not path.is_file() or any(map(path.is_relative_to, (OURS, TORCH))):
            continue
        code = linecache.getline(frame.filename, frame.lineno).strip()
        words = {"file": path.name, "line": frame.lineno, "code": code}
        where = Message("analysis.place", " ({file}, line {line}: {code})", words)
        if any(part in LIBRARIES for part in path.parts):
            library = where
        else:
            own = where
    text = str(error).strip()
    shapes = ["x".join(map(str, t.shape)) or Message("analysis.number", "one number") for t in tensors_of(inputs)]
    return AnalysisError(
        "analysis.forward",
        "The model's forward raised {kind}: {text}{place}. Check the input shape {shapes}.",
        details=details,
        kind=type(error).__name__,
        text=text.splitlines()[0].rstrip(".") if text else Message("analysis.no_text", "no text"),
        place=own or library,
        shapes=listed(shapes or [Message("analysis.none", "none")]),
    )


def _missing_inputs(model: nn.Module, inputs: Inputs) -> list[str]:
    """Names of a forward's arguments without a default that the inputs do not fill."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # a forward that is no Python function
        return []
    by_name = isinstance(inputs, Mapping)
    taken = set(inputs) if by_name else set[str]()
    positions = 0 if by_name else len(inputs)
    missing: list[str] = []
    for number, one in enumerate(parameters):
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) or one.default is not one.empty:
            continue
        if one.name not in taken and (by_name or one.kind is one.KEYWORD_ONLY or number >= positions):
            missing.append(one.name)
    return missing

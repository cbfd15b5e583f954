"""Analyses a model: records a run, applies the rules, solves, builds the `Analysis`. Loads torch."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from ..errors import AnalysisError, Message
from ..jobs import CancelToken, NeverCancelled, check
from ..machine.operating_system import uncollected
from ..tracing.record import Record
from ..tracing.recorder import record
from ..tracing.saved_tensors import saved_tensors
from ..tracing.tree import Inputs, modules_of
from .analysis import Analysis
from .apply_rules import apply_rules
from .build_analysis import build
from .model_notes import model_notes
from .removable_blocks import find_blocks
from .solver.solve import solve
from .unread_parameters import UnreadParameters, names_of, unread_parameters, unused_note


@uncollected()
def analyse(
    model: nn.Module,
    inputs: Inputs,
    name: str = "model",
    *,
    outputs: Sequence[str] = (),
    ignore_unused: bool = False,
    token: CancelToken | None = None,
) -> Analysis:
    """What can be removed from a model, what goes along, what is fixed and why, and what everything costs.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        inputs: Example inputs, positional as a tuple or by name as a mapping; first dimension the batch (2 or more
            tells batch from structure).
        name: The model's name for a person.
        outputs: Paths of the outputs that must stay ("logits", "0"); by default all, except what
            transformers' own models compute on the way.
        ignore_unused: Let go what modules might read that did not run on the example inputs.
        token: Cancels the analysis.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
        Cancelled: The token was set.
    """
    token = NeverCancelled() if token is None else token
    return solve_runs(record_runs(model, inputs, outputs, ignore_unused), name, token)({})


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """What a model did.

    Attributes:
        run: In evaluation mode.
        training: In training mode, where only that reaches parameters or takes branches of its own.
        notes: Remarks on the model as it was given.
        unused: Parameters that neither reached.
        ignore_unused: What these may read is to go all the same.
    """

    run: Record
    training: Record | None = None
    notes: tuple[Message, ...] = ()
    unused: tuple[UnreadParameters, ...] = ()
    ignore_unused: bool = False


def record_runs(
    model: nn.Module, inputs: Inputs, outputs: Sequence[str] = (), ignore_unused: bool = False
) -> RecordedRuns:
    """Run a model as often as it takes to see all its parameters at work.

    Args:
        model: Any module; left as it was found.
        inputs: Example inputs, positional or by name, batch first.
        outputs: Paths of the outputs that must stay; see `analyse`.
        ignore_unused: Whether what modules might read that did not run may go.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
    """
    run, training = record(model, inputs, outputs), None
    unused = unread_parameters(model, [run])
    if unused or branches_on_training(model):
        # It may train on other inputs; what evaluation left unused then stays unused.
        with suppress(AnalysisError):
            training = record(model, inputs, training=True)
            unused = unread_parameters(model, [run, training])
    notes = (*model_notes(model), *unused_note(unused, ignore_unused))
    return RecordedRuns(run, training, notes, unused, ignore_unused)


@uncollected()
def solve_runs(seen: RecordedRuns, name: str, token: CancelToken) -> Callable[[Mapping[str, Message]], Analysis]:
    """Solve what was seen; the result makes the analysis without the sets that are refused (set key to reason)."""
    check(token)
    context = apply_rules(seen.run, token, seen.training, () if seen.ignore_unused else seen.unused)
    solution = solve(context.labels)
    check(token)
    held, blocks = saved_tensors(seen.run), find_blocks(context, solution)

    @uncollected()
    def make(refused: Mapping[str, Message]) -> Analysis:
        made = build(context, solution, blocks, name, refused, held)
        notes = (*made.notes, *seen.notes)
        compared = tuple(sorted(seen.run.compared_sizes))
        trained = seen.training is not None
        return replace(made, trained=trained, notes=notes, unused=names_of(seen.unused), compared_sizes=compared)

    return make


HARMLESS = ("drop", "norm", "rrelu", "stochastic", "train")
"""Functions with one of these in their names are what they are in both modes, but for what they drop or average."""
NORMS = nn.modules.batchnorm._NormBase  # pyright: ignore[reportPrivateUsage] - the common class of all
DOING = (ast.Call, ast.Return, ast.BinOp, ast.AugAssign)
"""What a branch that computes something has in it; one that chooses a number for dropout has none."""
Switch = frozenset[str]
"""Attributes of `self` that have to be true too for a branch to be taken."""


def branches_on_training(model: nn.Module) -> bool:
    """Whether code of the model's own computes something in training alone, by the text of its forwards.

    Most code reads `training` to switch dropout on or off; a second run would show nothing new. Code that calls,
    returns or assigns something in one mode alone may read tensors there that evaluation never touches.
    """
    kinds: dict[Any, list[nn.Module]] = {}
    for module in modules_of(model).values():
        kinds.setdefault(type(module), []).append(module)
    for kind, modules in kinds.items():
        # Norms differ in their statistics, which are compared.
        if issubclass(kind, NORMS):
            continue
        for switches in _class_switches(kind):
            if any(all(getattr(one, name, True) for name in switches) for one in modules):
                return True
    return False


@cache
def _class_switches(kind: Any) -> tuple[Switch, ...]:
    """For each branch on the mode in the methods of a class: what else it asks for."""
    found: list[Switch] = []
    bases: tuple[type, ...] = kind.__mro__
    for base in bases:
        if base.__module__.partition(".")[0] == "torch":
            continue
        methods: dict[str, Any] = dict(vars(base))
        for value in methods.values():
            function: Any = inspect.unwrap(value) if callable(value) else None
            if isinstance(function, FunctionType) and "training" in _names(function.__code__):
                found += _function_switches(function)
    return tuple(found)


def _names(code: CodeType) -> set[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _function_switches(function: FunctionType) -> Iterator[Switch]:
    """The same of one method; nothing where the mode only chooses a number or is handed to dropout and the like."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):  # without its text it may do anything
        yield frozenset()
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and any(map(_is_mode, ast.walk(node.test))):
            parts = [one for part in (node.body, node.orelse) for one in (part if isinstance(part, list) else [part])]
            if not any(isinstance(one, DOING) for part in parts for one in ast.walk(part)):
                continue
            # `self.training and self.jitter > 0` computes something only where the jitter is true as well.
            test = node.test
            terms = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else []
            terms = [t.left if isinstance(t, ast.Compare) and isinstance(t.ops[0], ast.Gt) else t for t in terms]
            named = (t for t in terms if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name))
            yield frozenset(t.attr for t in named if ast.unparse(t.value) == "self" and not _is_mode(t))
        elif isinstance(node, ast.Call):
            handed = any(map(_is_mode, (*node.args, *(word.value for word in node.keywords))))
            if handed and not any(part in ast.unparse(node.func).lower() for part in HARMLESS):
                yield frozenset()


def _is_mode(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "training"

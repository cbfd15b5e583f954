"""Prune a model in one call: `prune` analyses, scores, plans, cuts and verifies, and recovers where that is asked for.

It takes a live module, which is left exactly as it was found, or the name of a source, and gives a `Pruned`: a smaller
live module of the same class, a report, and methods that export. It is `workflows/prune.py` on a session that keeps its
weights in memory; a session with a folder keeps every state on disk, and also plans for latency.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from .adapters.torchvision_detection import with_maps, with_own_class
from .distributed import LEADER, launched
from .errors import DataError, Message, PlanError, SecateurError, TaskError
from .export.original_trial import export_or_compare
from .export.protocol import ExportRequest, Predictor
from .export.staged_output import require_free
from .export.table import exporter_named
from .inference.model_inputs import Inputs, at_batch, batch_size, inputs_of, mapped
from .jobs import CancelToken, Job, NeverCancelled, Progress, check, finish
from .machine.devices import CPU
from .planning.goal import reached
from .planning.infeasibility import goal_text
from .planning.protocol import (
    MASK_STEPS,
    MULTIPLE,
    PRESETS,
    Choose,
    Cost,
    Goal,
    KindLimit,
    Limit,
    Reached,
    kind_limit_of,
    read_kind,
)
from .planning.target_shape import forced_sizes
from .recovery.protocol import RecoverySettings, require_possible
from .runtime.load_pruned import load_pruned
from .scoring.score_options import Choices
from .session.open_model import Prepared, run_evaluation, runs
from .session.session import Session
from .session.states import Exported, StateKind
from .sources.exported_folder import SHAPES, WEIGHTS
from .sources.protocol import ModelSpec
from .structures.analysis import identities
from .structures.costs import Costs, costs
from .surgery.cut.cut import copy_model
from .surgery.cut.edits import Edits, Verification
from .surgery.cut.repair_report import explain
from .surgery.repair.config_fit import with_fitting_config
from .tasks.open import task_at
from .tasks.protocol import Metric, Split, TaskSpec, metric_value
from .text.format import percent, size, thousands
from .tracing.tree import as_tensors, modules_of
from .workflows.prune import PruneRequest, decide_request, plan_prune, prune_state


@dataclass(frozen=True, slots=True)
class PruningReport:
    """What a pruning did; `str` gives it as a table.

    Attributes:
        name: The model's name for a person.
        before: Parameters and multiply-accumulates of the original.
        after: The same of the result.
        goal: What was asked for.
        reached: Asked and got, for each limited cost.
        criterion: What structures were rated by.
        removed: What was removed: indices in the original's coordinates, by the key of the coupled set.
        verification: The comparisons of the last cut with the masked model before it, all of them passed.
        repairs: What the cuts changed besides the tensors, and why.
        metric_before: The original on the test split, None without a task.
        metric_after: The same of the result.
        notes: Remarks on the model, the data and the recovery.
    """

    name: str
    before: Costs
    after: Costs
    goal: Goal
    reached: tuple[Reached, ...]
    criterion: str
    removed: dict[str, list[int]]
    verification: Verification
    repairs: tuple[Message, ...]
    metric_before: Metric | None
    metric_after: Metric | None
    notes: tuple[Message, ...]

    def __str__(self) -> str:
        """A line for each fact."""
        lines = [
            self.name,
            *(
                f"{what}: {size(old)} -> {size(new)} ({percent(new / max(old, 1))})"
                for what, old, new in (
                    ("parameters", self.before.parameters, self.after.parameters),
                    ("MACs", self.before.macs, self.after.macs),
                )
            ),
        ]
        if self.metric_before is not None:
            name = f"{self.metric_before.name} (n = {thousands(self.metric_before.count)})"
            lines.append(f"{name}: {metric_value(self.metric_before)} -> {metric_value(self.metric_after)}")
        count = len(self.verification.checks)
        lines.append(f"verified: equals the masked original, {self.verification.difference:.0e} in {count} comparisons")
        lines += [f"repaired: {one}" for one in self.repairs]
        lines += [f"note: {one}" for one in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A pruned model.

    The exports write the model as it is when they are called: fine-tune `model` first where you do that yourself.

    Attributes:
        model: The smaller model: live, trainable, of the original's class, in its modes and on its device. Weights are
            float32, or bfloat16 where the original's are.
        report: What was removed, what it costs and what it brought.
    """

    model: nn.Module
    report: PruningReport
    _prepared: Prepared = field(repr=False)
    _edits: Edits = field(repr=False)
    _is_object: bool = field(repr=False)

    def export_onnx(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        token: CancelToken | None = None,
    ) -> Exported:
        """Write one ONNX file with a free batch size, load it in a fresh process and compare it with the model.

        With a task its metric is measured on the file.

        Args:
            path: File to write.
            overwrite: Replace a file that is there already.
            on_progress: Called with each step.
            token: Cancels the export.

        Raises:
            ExportError: Nothing is left behind; what was there is still there.
        """
        return finish(self._exported("onnx", path, overwrite, token or NeverCancelled()), on_progress)

    def export_program(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        token: CancelToken | None = None,
    ) -> Exported:
        """Write a `torch.export` program (.pt2); arguments and errors are those of `export_onnx`."""
        return finish(self._exported("program", path, overwrite, token or NeverCancelled()), on_progress)

    def export_pytorch(
        self,
        folder: str | Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        token: CancelToken | None = None,
    ) -> Exported:
        """Write a folder with weights, shapes and `load_pruned.py`, which loads them without Secateur.

        The README in it shows how; of a model that was handed over as an object it leaves out how the original is
        made. Other arguments and errors are those of `export_onnx`.

        Args:
            folder: Folder to write; an earlier export there is replaced where `overwrite` allows it.
            overwrite: As of `export_onnx`.
            on_progress: As of `export_onnx`.
            token: As of `export_onnx`.
        """
        return finish(self._exported("pytorch", folder, overwrite, token or NeverCancelled()), on_progress)

    def export_hugging_face(
        self,
        folder: str | Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        token: CancelToken | None = None,
    ) -> Exported:
        """Write a folder that stock `from_pretrained` loads, with a configuration of the new sizes.

        Arguments are those of `export_pytorch`.

        Raises:
            ExportError: No configuration describes the model; code "export.hf_config".
        """
        return finish(self._exported("hugging-face", folder, overwrite, token or NeverCancelled()), on_progress)

    def _exported(self, form: str, path: str | Path, overwrite: bool, token: CancelToken) -> Job[Exported]:
        place, exporter, opened = Path(path).expanduser().absolute(), exporter_named(form), self._prepared.opened
        require_free(place, overwrite)
        request = ExportRequest(
            _portable(self.model),
            self._prepared.inputs,
            str(place),
            None if self._is_object else self._prepared.spec,
            self._edits,
            self.report.name,
            self.report.after.macs,
            factory=opened.factory,
        )
        exported = yield from export_or_compare(exporter, request, lambda: _portable(opened.model), token)
        task = self._prepared.task
        if task is None:
            return exported
        shown = Message("progress.on_file", "Measuring the metric on the file")
        found = yield from run_evaluation(task, self._predictor(form, place), Split.TEST, token, shown)
        return replace(exported, metric=found.metric)

    def _predictor(self, form: str, place: Path) -> Predictor | None:
        if form == "pytorch" and self._is_object:  # the folder does not say how the original is made
            factory = self._prepared.opened.factory
            return load_pruned(factory, str(place / SHAPES), str(place / WEIGHTS))
        return exporter_named(form).predictor(str(place))


def _portable(model: nn.Module) -> nn.Module:
    """A copy of a module as exporters take it: on the CPU, in eval mode."""
    return with_maps(copy_model(model)).cpu().eval()


def prune(
    model: nn.Module | ModelSpec | str,
    inputs: Any = None,
    *,
    keep_macs: float | None = None,
    keep_parameters: float | None = None,
    max_size: float | None = None,
    max_memory: float | None = None,
    keep: Mapping[str, float | int] | None = None,
    shape: Mapping[str, float | int] | str | None = None,
    multiple: int | None = None,
    lock: Sequence[str | nn.Module] = (),
    goal: Goal | None = None,
    criterion: str | None = None,
    choices: Choices | None = None,
    task: TaskSpec | str | Path | None = None,
    recovery: RecoverySettings | None = None,
    rounds: int = 1,
    choose: Choose | str = Choose.SCORES,
    mask_steps: int = MASK_STEPS,
    search_shares: int | None = None,
    outputs: Sequence[str] = (),
    own_class: bool = False,
    uniform: bool = False,
    ignore_unused: bool = False,
    accept_preprocessing: bool = False,
    seed: int = 0,
    device: str = CPU,
    on_progress: Callable[[Progress], None] | None = None,
    token: CancelToken | None = None,
) -> Pruned:
    """Make a model smaller: analyse, score, plan, cut and verify it, and recover it where that is asked for.

        smaller = prune(model, torch.randn(2, 3, 224, 224), keep_macs=0.5)
        print(smaller.report)
        smaller.export_onnx("smaller.onnx")

    A limit is a share of the original's cost, above 0 and up to 1, or an amount above 1; None is no limit. All limits
    hold at once.

    Args:
        model: A module, which is left exactly as it was found, on any device and in any mode; or what a source names
            ("torchvision:resnet18", "file.py:callable").
        inputs: Example inputs: a tensor, a tuple of positional ones, or a mapping by name; the batch first, two
            samples are enough. None for those of the task or of the source.
        keep_macs: Multiply-accumulates of one sample to keep at most.
        keep_parameters: Parameters to keep at most.
        max_size: Size of the weights in a file, in bytes.
        max_memory: Peak of one sample's activations, in bytes.
        keep: Structures of single kinds to keep in the whole model, a share as a float and a number as an integer:
            {"heads": 0.7, "blocks": 10}. Other limits are met with other kinds.
        shape: Structures of single kinds that each layer keeps, exactly: {"layers": 24, "width": 2048, "heads": 16,
            "ffn": 5504}; or the name of a published shape ("sheared-llama-1.3b").
        multiple: Kept widths are multiples of this; small layers have smaller steps. None for 16, or less where that
            keeps less than nine tenths of what the limits allow.
        lock: Modules that stay as they are, with everything below them: paths, patterns ("*.conv1"), or the model's
            own modules.
        goal: More about the plan: scope, kinds of structures, what competes. Limits and `multiple` are added to it.
        criterion: What rates structures, a key of `CRITERIA`; None for `default_criterion`: "obs" where the recovery
            repairs by least squares, but "taylor" where it makes more than 200 updates on text, or repairs nothing and
            the task has a loss; else "l1".
        choices: How slices are combined and normalised; None for the criterion's own way.
        task: The data with its loss and metric: a path as the command line takes it, "bundled" for the sample, or a
            specification. None for no data.
        recovery: How the model is fine-tuned after each cut, with the original as teacher; None for not at all.
        rounds: How often to score, cut and recover on the way to the goal.
        choose: How it is chosen which structures stay: by "scores" at once, in "rounds" (as many as `rounds` says; of a
            tenth each, where it says one), or by "masks" that are learned together with the weights.
        mask_steps: Training steps in which masks are learned.
        search_shares: Have layers give each other shares of the plan while the repaired outputs come nearer to the
            original's, and measure this many plans at most; 0 for no search, None for one where it helps: on text that
            is scored by "obs" and cut in one round.
        outputs: Paths of the outputs that must stay ("logits", "0"), () for all.
        own_class: Only cuts that run with the unchanged class: no number in a forward is replaced.
        uniform: Of a transformers model, only plans that one configuration describes: equal counts in all layers.
        ignore_unused: Also prune what modules may read that do not run on the example inputs.
        accept_preprocessing: Go on where the model gets clearly more samples right with another mean and std.
        seed: Of what is random in the scores.
        device: Where the model is scored, evaluated and trained: "cpu", "cuda", "cuda:1", "mps", "xpu" or "auto".
        on_progress: Called with each step.
        token: Cancels: `Cancelled` is raised, and nothing was changed.

    Raises:
        PlanError: No limit was given, a limit is no share or amount, or the goal cannot be reached.
        VerificationError: The cut model does not compute what the masked original computes.
        OpenError: The model cannot be opened or copied.
        TaskError: The data cannot be used, or something needs data and there is none.
        DataError: Another normalisation of the data clearly suits the model; nothing was scored.
        SecateurError: Several processes were started together, and this is not the first of them.
    """
    # Started by torchrun, every process would prune a model of its own, and all would write the same files.
    if (place := launched()).rank != LEADER:
        template = (
            "prune() computes in one process, and this is process {rank} of {size}. Call it in process 0 alone, or "
            "start the command secateur prune in all of them."
        )
        raise SecateurError("prune.processes", template, rank=place.rank, size=place.size)
    if isinstance(shape, str):
        if shape not in PRESETS:
            template = "No published shape is called {name!r}. Use one of {known}, or give numbers by kind."
            raise PlanError("prune.preset", template, name=shape, known=", ".join(PRESETS))
        sizes = PRESETS[shape]
    else:
        sizes = tuple(_kind_limit(name, value) for name, value in (shape or {}).items())
    asked = _goal(
        goal,
        multiple,
        tuple(_kind_limit(name, value) for name, value in (keep or {}).items()),
        sizes,
        {
            "keep_macs": (Cost.MACS, keep_macs),
            "keep_parameters": (Cost.PARAMETERS, keep_parameters),
            "max_size": (Cost.SIZE, max_size),
            "max_memory": (Cost.PEAK, max_memory),
        },
    )
    if recovery is not None:
        require_possible(recovery)
    if choose not in tuple(Choose):
        template = "choose was {value!r}. Give one of {known}."
        raise PlanError("prune.choose", template, value=str(choose), known=", ".join(Choose))
    module = model if isinstance(model, nn.Module) else None
    spec = model if isinstance(model, ModelSpec) else ModelSpec("" if isinstance(model, nn.Module) else model)
    spec = replace(
        spec,
        task=spec.task if task is None else task if isinstance(task, TaskSpec) else task_at(str(task)),
        outputs=tuple(outputs) or spec.outputs,
        own_class=own_class or spec.own_class,
        uniform=uniform or spec.uniform,
        ignore_unused=ignore_unused or spec.ignore_unused,
    )
    # The same request that command line, window and recipes make: from here on there is one pipeline.
    request = PruneRequest(
        asked,
        criterion or "",
        recovery,
        rounds=max(1, rounds),
        choose=Choose(choose),
        mask_steps=mask_steps,
        seed=seed,
        search=search_shares,
        lock=_paths(lock, module),
        choices=choices or Choices(),
    )
    # Inputs on the CPU, where the model is analysed, as models are called with them; () for none.
    examples = () if inputs is None else mapped(as_tensors(inputs_of(inputs)), lambda one: one.detach().cpu())
    job = _prune_session(spec, module, examples, request, accept_preprocessing, device, token or NeverCancelled())
    return finish(job, on_progress)


def _goal(
    goal: Goal | None,
    multiple: int | None,
    kept: tuple[KindLimit, ...],
    shape: tuple[KindLimit, ...],
    given: dict[str, tuple[Cost, float | None]],
) -> Goal:
    """The goal with the limits that were given."""
    limits = list[Limit]()
    for name, (cost, value) in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not value > 0 or math.isinf(value) or (value > 1 and value != int(value)):
            template = "{name} was {value}. Give a share above 0 and up to 1, or a whole amount above 1; None is no "
            template += "limit."
            raise PlanError("prune.limit", template, name=name, value=str(value))
        limits.append(Limit(cost, share=float(value)) if value <= 1 else Limit(cost, amount=int(value)))
    asked = goal or Goal((), multiple=MULTIPLE, finer=multiple is None)
    asked = replace(
        asked,
        limits=(*asked.limits, *limits),
        kept=(*asked.kept, *kept),
        shape=(*asked.shape, *shape),
        multiple=multiple or asked.multiple,
    )
    if not (asked.limits or asked.settled):
        template = "A limit is needed. Give one of {names}, for example keep_macs=0.5."
        raise PlanError("prune.no_limit", template, names=", ".join((*given, "keep", "shape")))
    if asked.timed:
        template = "Planning for latency needs a session. Use Session.prune, or the command line with --max-latency."
        raise PlanError("prune.latency", template)
    return asked


def _kind_limit(name: str, value: float | int) -> KindLimit:
    if isinstance(value, bool) or not value > 0 or (not isinstance(value, int) and value > 1):
        template = "{name} was {value}. Give a share above 0 and up to 1 as a float, or a whole number of structures."
        raise PlanError("prune.keep", template, name=name, value=str(value))
    return kind_limit_of((read_kind(name), value))


def _paths(lock: Sequence[str | nn.Module], module: nn.Module | None) -> tuple[str, ...]:
    """Paths of what is locked; raises PlanError for a module that is none of the model's."""
    known = {} if module is None else {id(one): path for path, one in modules_of(module).items()}
    for one in lock:
        if not isinstance(one, str) and id(one) not in known:
            template = "{kind} is not a module of the model. Lock it by its path, for example 'layer1.0.conv1'."
            raise PlanError("prune.lock", template, kind=type(one).__name__)
    return tuple(one if isinstance(one, str) else known[id(one)] for one in lock)


def _prune_session(
    spec: ModelSpec,
    module: nn.Module | None,
    examples: Inputs,
    request: PruneRequest,
    accept_preprocessing: bool,
    device: str,
    token: CancelToken,
) -> Job[Pruned]:
    """All steps from the model to the smaller one, in a session that keeps its weights in memory."""
    with closing(Session(in_memory=True)) as session:
        session.use_device(device)
        # One sample does not show which dimension is the batch.
        if module is not None and examples and batch_size(examples) == 1:
            examples = _in_pairs(module, examples)
        opened = yield from session.open_live(spec, module, examples, token)
        info, prepared, analysis = opened.task, session.prepared, session.analysis
        if request.recovery is not None and info is None:
            raise TaskError("prune.no_data", "Recovery needs data. Name the data with task, or leave recovery out.")
        if info is not None and info.better is not None and not accept_preprocessing:
            template = "{finding} Give the task mean={mean} and std={std}, or pass accept_preprocessing=True."
            mean, std = str(info.better.mean), str(info.better.std)
            raise DataError("prune.preprocessing", template, finding=info.finding, mean=mean, std=std)
        request = decide_request(session, opened.state.id, request)
        plan = yield from plan_prune(session, opened.state.id, request, token)
        made = yield from prune_state(session, opened.state.id, request, token=token, plan=plan)
        if not made:
            template = "The model meets this goal already ({asked}). Choose a lower limit."
            raise PlanError("prune.met", template, asked=goal_text(request.goal))
        check(token)
        result, (cut, *_) = made[-1], [one for one in reversed(made) if one.kind is StateKind.CUT]
        model, removed = session.model(result.id), session.removed(result.id)
    assert cut.verification is not None
    # In the order in which they came about: opening, planning, then what each state has to say.
    notes = [*opened.notes, *([] if plan.note is None else [plan.note])]
    for state in made:
        said = (*state.rated, *state.repaired, state.stopped, state.searched)
        notes += [one for one in said if one is not None]
    report = PruningReport(
        name=opened.name,
        before=costs(analysis),
        after=costs(analysis, removed),
        goal=request.goal,
        reached=reached(analysis, request.goal, removed),
        criterion=request.criterion,
        removed=identities(analysis, removed),
        verification=cut.verification,
        repairs=explain(result.edits, prepared.opened.model),
        metric_before=opened.state.test_metric,
        metric_after=result.test_metric,
        notes=(*notes, *forced_sizes(analysis, request.goal, analysis.empty(), removed)),
    )
    # While it is pruned a detector is of a class that returns its maps; the caller gets back their own.
    smaller = with_own_class(model)
    if spec.uniform:
        smaller = with_fitting_config(smaller, prepared.inputs)
    if module is not None:
        _as_it_came(smaller, module)
    return Pruned(model=smaller, report=report, _prepared=prepared, _edits=result.edits, _is_object=module is not None)


def _in_pairs(module: nn.Module, examples: Inputs) -> Inputs:
    """Inputs of two samples, which tell the batch from a structure; as they are where the model takes only one."""
    copied, pairs = copy_model(module).cpu(), at_batch(examples, 2)
    return pairs if runs(copied, pairs) else examples


def _as_it_came(result: nn.Module, module: nn.Module) -> None:
    """Bring a cut model into the modes of the module that it was made from, and to its device."""
    modes = {path: one.training for path, one in modules_of(module).items()}
    for path, one in modules_of(result).items():
        one.training = modes.get(path, module.training)
    # A model that is spread over several devices stays on the CPU: how to spread a smaller one is not known.
    devices = {one.device for one in (*module.parameters(), *module.buffers())}
    if len(devices) == 1:
        result.to(devices.pop())

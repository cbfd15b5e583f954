"""A session: one opened model, the task that judges it, and the tree of states that came of it, on disk and in memory.

The window talks to it through `client`, in a process of its own; the command line and tests use it directly. Long
methods are jobs; a job that fails or is cancelled leaves everything as it was.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..baselines.protocol import Baseline, BaselineSpec, Standing
from ..devices import CPU, available, device_named, placed
from ..errors import OpenError, TaskError
from ..export.table import exporter_named
from ..inputs import Inputs, at_batch, at_size
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..latency.protocol import LatencyTable
from ..latency.savings import Saving, savings
from ..planning.protocol import Goal
from ..recovery.finetune import recover as fine_tune
from ..recovery.protocol import RecoverySettings, Repair
from ..recovery.reading_layers import Kept
from ..recovery.resume import Checkpoint
from ..scoring.choices import Choices
from ..scoring.criteria import score as rate
from ..sensitivity.measure import Subject, sensitivity
from ..sensitivity.protocol import SHARES, Sensitivity
from ..sensitivity.trials import sets_of
from ..sharing.bundle import Bundle, is_bundle, read_bundle, take_weights, write_bundle
from ..sharing.recipes import recipe_at
from ..sharing.report import write_report
from ..sharing.structures import STRUCTURES, analysis_to_json
from ..sources.checkpoint import read_checkpoint
from ..sources.consent import require_consent
from ..sources.matching import apply, match, shapes_of
from ..sources.protocol import ModelSpec
from ..structures.analysis import Analysis, Mask, from_identities, identities
from ..structures.costs import costs
from ..surgery.cut import cut as operate
from ..surgery.explain import explain
from ..surgery.own_class import require_own_class
from ..surgery.protocol import Edits
from ..surgery.slicing import relative_keeps
from ..surgery.verify import require, verify
from ..targets.by_module import module_times as time_modules
from ..targets.elsewhere import refuse_prompt, write_bench
from ..targets.measure import measure as time_files
from ..targets.measure import measure_steps
from ..targets.protocol import TargetSpec, Timing
from ..tasks.open import open_task
from ..tasks.protocol import Metric, Split, Task, TaskInfo, TaskSpec
from . import comparing, courses
from .artifacts import Artifacts
from .benching import bench_name, take_results
from .comparing import Comparison
from .courses import Course, Sweep
from .curve import noted, thinned
from .files import removed_unless_finished, write
from .filters import Filters, filters_of
from .history import History, is_project
from .latencies import Measuring, latency_table, liked_multiple
from .live import Live
from .losses import Found, Tolerance, lowest
from .matching import Fit, Mode
from .opening import (
    Prepared,
    analysed,
    check_outputs,
    described,
    example_inputs,
    first_look,
    judged,
    prepare,
    same_shape,
    with_tokenizer,
)
from .paths import absolute_to, change_model, change_task
from .place import Place
from .plain import to_plain
from .points import Numbers, Stored, fingerprint, points_of
from .project import changes, read_project, take_window, write_project
from .recipe import RECIPE, recipe_of, write_recipe
from .reopening import check_kept, reopened
from .replay import Replay, fit_of, steps_again
from .script import SCRIPT, write_script
from .states import Exported, OpenedModel, PlanIntent, State, StateKind
from .steps import Open, Recipe
from .store import GIGABYTE, WeightStore

NEVER = NeverCancelled()


class Session(Place):
    """One opened model and its states; what `Place` says of where they lie."""

    def __init__(
        self,
        folder: Path | None = None,
        disk_bound: int = 4 * GIGABYTE,
        cache: Path | None = None,
        exclusive: bool = False,
    ) -> None:
        """Work in a folder, or in a temporary one that `close` removes.

        Args:
            folder: Where log and weights go.
            disk_bound: Bytes that the folder may take.
            cache: Where measurements by content go.
            exclusive: No other process may work in the folder meanwhile; it is locked once something is opened.
        """
        self._temporary = folder is None
        place = Path(tempfile.mkdtemp(prefix="secateur-")) if folder is None else Path(folder)
        super().__init__(place, disk_bound, cache or place, exclusive)
        self.device: str = CPU
        self._shown: Bundle | None = None  # A bundle without its weights, to look at: nothing is open then.

    def open(
        self, spec: ModelSpec, evaluate: bool = True, folder: str = "", token: CancelToken = NEVER
    ) -> Job[OpenedModel]:
        """Open a model, evaluate it on its task, then analyse it. A project folder is opened with all its states.

        Args:
            spec: What to open.
            evaluate: Judge the original.
            folder: Where the session goes on from now on, "" for where it is; what was there before stays as it is.
            token: Cancels.
        """
        with self._moving(folder):
            yield from self._alone()
            return (yield from self._open(spec, evaluate, token))

    def restore(
        self, folder: str = "", moved: tuple[tuple[str, str], ...] = (), token: CancelToken = NEVER
    ) -> Job[OpenedModel]:
        """Reopen the model of a session's folder with every state; nothing is trained or evaluated again.

        Args:
            folder: Where the session goes on from now on, "" for where it is.
            moved: (where a file was, where it is now).
            token: Cancels.
        """
        with self._moving(folder):
            yield from self._alone()
            history = History(self.folder)
            history.read()
            elsewhere = history.relocate(moved)
            self._live = yield from reopened(history, self.store, history.consent, token)
            history.mend()
            if elsewhere:
                history.write_to(self.folder, consent=True)
            self.history = history
            return self._opened()

    def _open(self, spec: ModelSpec, evaluate: bool, token: CancelToken) -> Job[OpenedModel]:
        here, began = absolute_to(Path.cwd()), time.time()
        spec = change_model(spec, here)
        if is_project(spec.source):
            return (yield from self._open_project(spec, token))
        if is_bundle(spec.source):
            return (yield from self._open_bundle(spec, token))
        prepared = yield from prepare(spec, token)
        metrics, info = tuple[Metric, ...](), None
        if prepared.task is not None and evaluate:
            metrics, info = yield from first_look(prepared.task, prepared.opened.model, token)
        elif prepared.task is not None:
            info = described(prepared.task, None)
        analysis = yield from analysed(prepared, token)
        yield Progress("Keeping the original")
        original = self._original(prepared.opened.model, analysis, metrics)
        self.history.open(prepared.spec, prepared.spec.task, original)
        self._live, self._shown = Live(prepared, analysis, prepared.task, info, began), None
        return self._opened()

    def use_device(self, device: str) -> str:
        """Train and judge there from now on; returns its name. Raises SecateurError where there is none such."""
        self.device = device_named(device)
        return self.device

    def attach_task(self, spec: TaskSpec, token: CancelToken = NEVER) -> Job[TaskInfo]:
        """Let a task judge the model; the original is evaluated on it first."""
        live, opened = self._need(), time.time()
        yield Progress("Opening the data")
        spec = with_tokenizer(change_task(spec, absolute_to(Path.cwd())), live.prepared.spec)
        task, original = open_task(spec), live.prepared.opened.model
        same_shape(example_inputs((), task, (), original), live.prepared.inputs, spec)
        check_outputs(original, live.prepared.inputs, task)
        metrics, info = yield from first_look(task, original, token)
        self.history.attach_task(spec, replace(self.history.state("s0"), metrics=metrics, stale=False))
        live.task, live.info, live.opened = task, info, opened
        return info

    def evaluate(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """Measure a state's metric; it is kept in the state."""
        task, model = self._need_task(), self._model(state)
        with placed(self.device, model):
            metric = yield from judged(task, model, split, token, f"Evaluating on the {split} split")
        self.history.add_metric(state, metric)
        return metric

    def judged(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """A state's metric on a split, measured now unless it has been."""
        known = next((one for one in self.history.state(state).metrics if one.split is split), None)
        return (yield from self.evaluate(state, split, token)) if known is None else known

    def score(
        self,
        state: str,
        criterion: str,
        choices: Choices | None = None,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[NDArray[np.float64]]:
        """[S] scores of a state by a criterion, NaN where removed; what was measured before a cancel is kept."""
        live, one, choices = self._need(), self.history.state(state), choices or Choices()
        known = Numbers(lambda: Stored(self._ablation_file(one, choices, seed), float))
        subject = (self._model(state), live.analysis, live.mask(one), criterion, live.task, token)
        return (yield from rate(*subject, choices=choices, seed=seed, known=known))

    def _ablation_file(self, one: State, choices: Choices, seed: int) -> Path:
        live, task = self._need(), self._need_task()
        how = (choices.batches, seed, torch.get_num_threads())
        return points_of(self.cache / "ablation", one, live.prepared.spec, task.spec, live.opened, how)

    def measure(
        self, states: tuple[str, ...], target: TargetSpec, token: CancelToken = NEVER
    ) -> Job[tuple[Timing, ...]]:
        """Latencies of states and baselines on a target, interleaved; they are kept with them."""
        files: list[Path] = []
        steps: list[tuple[Path, Inputs]] = []
        for state in states:
            artifacts, model, one = self.measurable(state)
            if target.tokens:
                steps.append((yield from artifacts.step(model, one, target, token)))
            files.append((yield from artifacts.file(model, one, target, token)))
        yield Progress("Measuring")
        timings = yield from time_files(files, self._need().prepared.inputs, target, token)
        if steps:
            yield Progress("Measuring one further token")
            paths, inputs = [path for path, _ in steps], [given for _, given in steps]
            found = yield from measure_steps(paths, inputs, target, token)
            timings = tuple(replace(timing, step=one) for timing, one in zip(timings, found, strict=True))
        for state, timing in zip(states, timings, strict=True):
            self.history.add_timing(state, timing)
        return timings

    def module_times(self, state: str, target: TargetSpec, token: CancelToken = NEVER) -> Job[dict[str, float]]:
        """Share of a forward's time in each module of a state by its path, in PyTorch with the target's batch."""
        inputs = at_batch(at_size(self._need().prepared.inputs, target.lengths), target.batch)
        return (yield from time_modules(self._model(state), inputs, target.threads, token))

    def latencies(self, target: TargetSpec, token: CancelToken = NEVER) -> Job[LatencyTable]:
        """The table that predicts the latency of any plan on a target; what is missing in it is measured first.

        Widths in it are multiples of `target.multiple`.
        """
        return (yield from latency_table(self._measuring(target), token, target.multiple))

    def savings(self, state: str, target: TargetSpec, token: CancelToken = NEVER) -> Job[tuple[Saving, ...]]:
        """What half of each set of a state saves on a target, and where removal buys no time there."""
        table = yield from self.latencies(target, token)
        return savings(self.analysis, table, self.removed(state))

    def forget_latencies(self, target: TargetSpec) -> None:
        """Measure anew what is asked next of a target, where the machine was busy before."""
        self._measuring(target).file.unlink(missing_ok=True)

    def liked_multiple(self, target: TargetSpec, token: CancelToken = NEVER) -> Job[int]:
        """The multiple of widths that saves time on a target, as measured; 0 where none does."""
        return (yield from liked_multiple(self._measuring(target), token))

    def write_bench(
        self, states: tuple[str, ...], folder: str, target: TargetSpec, token: CancelToken = NEVER
    ) -> Job[tuple[str, str]]:
        """Write what another machine needs to measure states; returns the folder and the command to run there."""
        refuse_prompt(target)
        files: dict[str, Path] = {}
        for state in states:
            one = self.history.state(state)
            files[bench_name(one)] = yield from self._artifacts().file(self._model(state), one, target, token)
        return write_bench(Path(absolute_to(Path.cwd())(folder)), files, self._need().prepared.inputs, target)

    def take_bench(self, path: str) -> tuple[State, ...]:
        """Read what `bench.py` wrote on another machine into the states that it measured; returns these."""
        return take_results(self.history, Path(absolute_to(Path.cwd())(path)))

    def cut(self, state: str, removed: Mask, plan: PlanIntent | None = None, token: CancelToken = NEVER) -> Job[State]:
        """Remove structures from a state and verify the cut; raises and changes nothing when it does not hold.

        Args:
            state: Where to start.
            removed: [S] what should be gone, in original coordinates; what is gone already stays gone.
            plan: What the plan was made for, for the recipe.
            token: Cancels.
        """
        live, parent = self._need(), self.history.state(state)
        before = live.mask(parent)
        after = before | removed
        yield Progress("Cutting")
        model, inputs = self._model(state), live.prepared.inputs
        done = operate(model, live.analysis, before, after, parent.edits, inputs)
        if live.prepared.spec.own_class:
            require_own_class(done.edits)
        yield Progress("Verifying the cut")
        verification = yield from verify(model, done.model, live.analysis, before, after, inputs, token, done.factors)
        require(verification)
        check(token)
        repairs = explain(done.edits, live.prepared.opened.model)
        fields = {"verification": verification, "plan": plan or PlanIntent(), "repairs": repairs}
        return self._keep(done.model, parent, StateKind.CUT, identities(live.analysis, after), done.edits, fields)

    def recover(self, state: str, settings: RecoverySettings, token: CancelToken = NEVER) -> Job[State]:
        """Fine-tune a state with the original as teacher; one that was stopped or killed half-way is gone on with."""
        live, task, parent = self._need(), self._need_task(), self.history.state(state)
        live.present = None  # Memory holds the original and one more model: now the student.
        student, teacher = self._fresh(parent), live.prepared.opened.model
        kept, checkpoint = live.analysis.kept_indices(live.mask(parent)), self._checkpoint(parent, settings)
        reference = self._cut_from(parent) if settings.repair is not Repair.NONE else None
        told = (live.analysis.outputs, kept, reference or (teacher, {}), checkpoint, self.device)
        points: list[dict[str, float]] = []
        result = yield from noted(fine_tune(student, teacher, task, settings, token, *told), points)
        check(token)
        student.load_state_dict(result.state_dict)
        fields = {"recovery": settings, "metrics": (result.metric,), "curve": thinned(points)}
        made = self._keep(student, parent, StateKind.RECOVERED, parent.removed, parent.edits, fields)
        checkpoint.forget()
        return made

    def prune(
        self, state: str, course: Course, scores: NDArray[np.float64] | None = None, token: CancelToken = NEVER
    ) -> Job[tuple[State, ...]]:
        """Score, plan, cut and recover until a goal is reached; returns the states on the way."""
        return (yield from courses.prune(self, state, course, token, scores))

    def lowest(
        self,
        state: str,
        course: Course,
        tolerance: Tolerance,
        scores: NDArray[np.float64] | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Found]:
        """Prune to the smallest budget of a cost that loses no more of the metric than is tolerated."""
        return (yield from lowest(self, state, course, tolerance, token, scores))

    def sweep(
        self,
        state: str,
        course: Course,
        shares: tuple[float, ...] = courses.BUDGETS,
        scores: NDArray[np.float64] | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Sweep]:
        """Prune from one state to several budgets, the points of a trade-off curve."""
        return (yield from courses.sweep(self, state, course, shares, token, scores))

    def sensitivity(
        self,
        state: str,
        criterion: str,
        shares: tuple[float, ...] = SHARES,
        goal: Goal | None = None,
        choices: Choices | None = None,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[Sensitivity]:
        """The metric against the removed share of each coupled set; what was measured once is not measured again.

        Args:
            state: What is cut on trial.
            criterion: What says which structures of a set go first.
            shares: Of what remains of a set.
            goal: Its scope and kinds say which sets, None for all of `DEFAULT_KINDS`.
            choices: About the scores.
            seed: Of what is random in them.
            token: Cancels; what was measured is kept.
        """
        live, one, task = self._need(), self.history.state(state), self._need_task()
        scores = yield from self.score(state, criterion, choices, seed, token)
        removed = live.mask(one)
        numbers = sets_of(live.analysis, removed, goal or Goal(()))
        inputs = live.prepared.inputs
        told = (one.edits, inputs, task, scores, criterion, self.device)
        subject = Subject(self._model(state), live.analysis, removed, *told)
        file = points_of(self.cache / "sensitivity", one, live.prepared.spec, task.spec, live.opened)
        points = Stored(file, Metric)
        return (yield from sensitivity(subject, numbers, shares, points, token))

    def compare(
        self,
        state: str,
        asked: Sequence[BaselineSpec],
        target: TargetSpec | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Comparison]:
        """Put baselines beside a state, time all of them on a target, and say whether pruning was worth it."""
        return (yield from comparing.compare(self, state, asked, target, token))

    def baseline(self, state: str, asked: BaselineSpec, token: CancelToken = NEVER) -> Job[Baseline]:
        """Make one baseline of a state, unless it was made before."""
        return (yield from comparing.make(self, state, asked, token))

    def attach(self, state: str, weights: str, trust_pickle: bool = False, token: CancelToken = NEVER) -> Job[State]:
        """Take weights for a state that were trained elsewhere; a pickle only with consent to it or to the model's."""
        parent, trust = self.history.state(state), trust_pickle or self._need().prepared.spec.trust_pickle
        yield Progress("Reading the weights")
        model = self._fresh(parent)
        path = absolute_to(Path.cwd())(weights)
        apply(match(read_checkpoint(path, trust), shapes_of(model), path), model)
        check(token)
        return self._keep(model, parent, StateKind.ATTACHED, parent.removed, parent.edits, {})

    def export(self, state: str, format: str, path: str, token: CancelToken = NEVER) -> Job[Exported]:
        """Write a state as a file, compare the file with the model, and measure the metric on the file."""
        live, one = self._need(), self.history.state(state)
        exporter, path = exporter_named(format), absolute_to(Path.cwd())(path)
        with removed_unless_finished(Path(path)):
            exported = yield from exporter.export(self._artifacts().request(self._model(state), one, path), token)
            if live.task is not None:
                text = "Measuring the metric on the file"
                metric = yield from judged(live.task, exporter.predictor(path), Split.REPORT, token, text)
                exported = replace(exported, metric=metric)
            self._artifacts().remember(one, exported)
            self.history.put(replace(one, exports=(*one.exports, exported)))
        return exported

    @property
    def analysis(self) -> Analysis:
        """Of the opened model."""
        return self._need().analysis

    @property
    def prepared(self) -> Prepared:
        """The opened model with what it is run on."""
        return self._need().prepared

    @property
    def has_task(self) -> bool:
        """Whether a task judges the model."""
        return self._need().task is not None

    def removed(self, state: str) -> Mask:
        """[S] what is gone in a state."""
        return self._need().mask(self.history.state(state))

    def filters(self, state: str) -> Filters | None:
        """The filters of a state's first convolution as images, None where it has none that can be seen."""
        live = self._need()
        return filters_of(self._model(state), live.analysis, live.mask(self.history.state(state)))

    def states(self) -> tuple[State, ...]:
        """All states in the order they were made, the original first."""
        return tuple((self.history if self._shown is None else self._shown.history).states.values())

    def baselines(self, state: str = "") -> tuple[Baseline, ...]:
        """The baselines that stand beside a state, or beside any, in the order they were made."""
        return tuple(one for one in self.history.baselines.values() if state in ("", one.against))

    def standing(self, state: str) -> Standing:
        """A state as baselines are made for it."""
        live, task, one = self._need(), self._need_task(), self.history.state(state)
        opened, rounds = live.prepared.opened, comparing.rounds_of(self, self.history.path_to(state))
        made = (opened.model, opened.factory, self._model(state), live.prepared.spec, live.analysis)
        costs = (one.parameters, one.macs)
        return Standing(*made, live.prepared.inputs, task, live.mask(one), one.edits, rounds, *costs, self.device)

    def keep_baseline(self, one: Baseline, model: nn.Module) -> Baseline:
        """Write a baseline's weights, then the baseline; it gets its id."""
        weights = self.store.put(model.state_dict())
        kept = self.history.put_baseline(replace(one, id=f"b{len(self.history.baselines)}", weights=weights))
        self._collect()
        return kept

    def recipe(self, state: str) -> Recipe:
        """The steps from the original to a state."""
        return recipe_of(self.history, state, self._need().analysis, torch.get_num_threads())

    def write_recipe(self, state: str, path: str) -> tuple[str, ...]:
        """Write the recipe of a state into a file; returns what was written."""
        file = Path(absolute_to(Path.cwd())(path))
        write_recipe(file, self.recipe(state))
        return (str(file),)

    def write_script(self, state: str, path: str) -> tuple[str, ...]:
        """Write the Python script of a state, with a file of marks beside it where they are many; what was written."""
        return tuple(map(str, write_script(Path(absolute_to(Path.cwd())(path)), self.recipe(state))))

    def write_report(self, state: str, path: str) -> tuple[str, ...]:
        """Write a report of a state as one HTML file; returns what was written."""
        file = Path(absolute_to(Path.cwd())(path))
        return (str(write_report(file, self.history, self.recipe(state), state)),)

    def write_bundle(
        self, state: str, path: str, weights: bool = False, token: CancelToken = NEVER
    ) -> Job[tuple[str, ...]]:
        """Write a bundle of all states, with or without their weights; returns what was written."""
        file, structures = Path(absolute_to(Path.cwd())(path)), analysis_to_json(self._need().analysis)
        folder = self.store.folder if weights else None
        told = (self.history, self.recipe(state), state, structures, folder)
        return (str((yield from write_bundle(file, *told, token))),)

    def open_recipe(
        self,
        recipe: str,
        weights: str = "",
        source: str = "",
        trust_pickle: bool = False,
        trust_code: bool = False,
        token: CancelToken = NEVER,
    ) -> Job[OpenedModel]:
        """Open the model of a recipe, with a new checkpoint or from another source where they are named."""
        here = absolute_to(Path.cwd())
        first = recipe_at(Path(here(recipe))).steps[0]
        assert isinstance(first, Open)
        named = {"weights": weights} if weights else {}
        named |= {"source": source, "weights": weights} if source else {}
        spec = replace(first.intent.model, trust_pickle=trust_pickle, trust_code=trust_code, **named)
        foreign = replace(spec, source="") if source else spec  # What a hand has named needs no further consent.
        require_consent(foreign, "", Path(here(recipe)), trust_code)
        return (yield from self.open(spec, token=token))

    def fit(self, recipe: str) -> Fit:
        """How the recipe of a file, a project or a bundle fits the model that is open."""
        return fit_of(recipe_at(Path(absolute_to(Path.cwd())(recipe))), self, self._opened())

    def apply_recipe(self, recipe: str, mode: Mode | None = None, token: CancelToken = NEVER) -> Job[Replay]:
        """Do a recipe's steps again on the original of the open model; each state that is made stays."""
        read = recipe_at(Path(absolute_to(Path.cwd())(recipe)))
        return (yield from steps_again(read, self, self._opened(), mode, token))

    def save(self, folder: str, state: str) -> str:
        """Write a project: every state with its weights, recipe and script of one. Returns the folder."""
        target = Path(folder).expanduser().absolute()
        store = WeightStore(target / "weights")
        for digest in self.history.weights:
            store.take(digest, self.store)
        recipe = self.recipe(state)
        write_recipe(target / RECIPE, recipe)
        write_script(target / SCRIPT, recipe)
        write(target / STRUCTURES, analysis_to_json(self._need().analysis))
        assert self.history.spec is not None
        write_project(target, self.history.spec, self.history.task, state)
        take_window(self.folder, target)
        self.history.write_to(target)
        return str(target)

    def close(self) -> None:
        """Forget the model; a temporary folder is removed."""
        self._live = None
        self._let_go()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _need(self) -> Live:
        if self._live is None and self._shown is not None:
            raise OpenError("session.shown", "{absent}", absent=self._shown.absent)
        if self._live is None:
            raise OpenError("session.closed", "No model is open. Open one first.")
        return self._live

    def _need_task(self) -> Task:
        task = self._need().task
        if task is None:
            raise TaskError("session.no_task", "This needs data: say which with --task, or attach it in the window.")
        return task

    def _open_project(self, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        """Open a project, then copy its states into this session's folder; another task may judge it."""
        project = History(Path(spec.source))
        project.read()
        assert project.spec is not None
        check_kept(spec, project.spec)
        file, notes = read_project(project.folder)
        project.relocate(spec.moved)
        project.spec = replace(project.spec, trust_code=spec.trust_code)
        require_consent(replace(project.spec, task=project.task), project.seal, project.folder, spec.trust_code)
        store = WeightStore(project.folder / "weights")
        yield Progress("Looking for what has changed")
        changed, stale = changes(file, project.spec, project.task)
        if stale:
            project.mark_stale()
        project.notes = (*project.notes, *notes, *changed)
        live = yield from reopened(project, store, spec.trust_pickle, token)
        if project.folder.resolve() != self.folder.resolve():
            for digest in project.weights:
                self.store.take(digest, store)
            project.write_to(self.folder)
            self.history.read()
        else:
            self.history = project
        self.history.notes = project.notes
        self._live, self._shown = live, None
        if spec.task is not None and spec.task != self.history.task:
            yield from self.attach_task(spec.task, token)
        return self._opened()

    def _open_bundle(self, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        """Open a bundle with its states where their weights and the model's code are at hand, else only its numbers."""
        yield Progress("Reading the bundle")
        bundle = read_bundle(Path(spec.source))
        absent = bundle.absent
        try:
            if not absent:
                return (yield from self._open_whole(bundle, spec, token))
        except OpenError as error:
            if error.message.code in ("source.code", "checkpoint.pickle"):
                raise
            absent = str(error)
        shown = bundle.opened(absent)
        self._live, self._shown = None, bundle
        return shown

    def _open_whole(self, bundle: Bundle, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        history = bundle.history
        assert history.spec is not None
        bundle.check_code()
        require_consent(replace(history.spec, task=history.task), "", bundle.path, spec.trust_code)
        yield from take_weights(bundle, self.store.folder, token)
        live = yield from reopened(history, self.store, spec.trust_pickle, token)
        history.write_to(self.folder)
        self.history.read()
        self._live, self._shown = live, None
        return self._opened()

    def _original(self, model: nn.Module, analysis: Analysis, metrics: tuple[Metric, ...]) -> State:
        total, weights = costs(analysis), self.store.put(model.state_dict())
        identity = ("s0", "", StateKind.ORIGINAL, dict[str, list[int]](), Edits(), weights)
        return State(*identity, total.parameters, total.macs, metrics=metrics)

    def _opened(self) -> OpenedModel:
        live = self._need()
        changed = tuple(map(str, self.history.notes))
        of_data = () if live.info is None else live.info.notes
        notes = (*changed, *map(str, (*live.prepared.opened.notes, *live.analysis.notes)), *of_data)
        spec = self.history.spec and replace(self.history.spec, task=self.history.task)
        told = (live.prepared.opened.name, live.analysis, self.history.state("s0"), notes, live.info, spec)
        return OpenedModel(*told, devices=available(), folder=str(self.folder), changed=changed)

    def _artifacts(self) -> Artifacts:
        return Artifacts(self.folder / "artifacts", self._need().prepared)

    def _measuring(self, target: TargetSpec) -> Measuring:
        live = self._need()
        return Measuring(live.prepared, live.analysis, target, self.cache / "latency")

    def _checkpoint(self, parent: State, settings: RecoverySettings) -> Checkpoint:
        """Where a recovery keeps what it needs to go on; of the same state, teacher, data and settings only."""
        if self._temporary:
            return Checkpoint(None)  # nobody could go on with it
        task = self.history.task
        what = [parent.weights, self.history.state("s0").weights, to_plain(settings), to_plain(task)]
        data = [fingerprint(task.path)] if task is not None else []
        key, mendable = (
            hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest() for one in (what + data, what)
        )
        return Checkpoint(self.folder / "recovery" / f"{parent.id}.pt", key, mendable)

    def _cut_from(self, state: State) -> tuple[nn.Module, Kept] | None:
        """The model that a state was cut from, and what the state keeps of it; None for no cut."""
        live = self._need()
        if state.kind is not StateKind.CUT:
            return None
        before = self.history.state(state.parent)
        model = self._fresh(before) if before.parent else live.prepared.opened.model
        return model, relative_keeps(live.analysis, live.mask(before), live.mask(state))

    def _model(self, state: str) -> nn.Module:
        return self._need().model(self.history.state(state), self.store)

    def _fresh(self, state: State) -> nn.Module:
        return self._need().fresh(state, self.store)

    def _keep(
        self,
        model: nn.Module,
        parent: State,
        kind: StateKind,
        removed: dict[str, list[int]],
        edits: Edits,
        fields: Mapping[str, Any],
    ) -> State:
        """Write a new state's weights, then the state; only then it exists."""
        live = self._need()
        total = costs(live.analysis, from_identities(live.analysis, removed)[0])
        weights = self.store.put(model.state_dict())
        identity = (self.history.next_id(), parent.id, kind, removed, edits, weights)
        state = self.history.put(State(*identity, total.parameters, total.macs, **fields))
        live.present = (state.id, model.eval())
        self._collect()
        return state

    def _collect(self) -> None:
        """Keep the session's folder in its bound."""
        size = self.store.collect(set(self.history.weights))
        self._artifacts().collect(self.store.bound - size)

    def measurable(self, name: str) -> tuple[Artifacts, nn.Module, State]:
        """What is measured of a state or a baseline, and who writes its files."""
        beside = self.history.baselines.get(name)
        if beside is None:
            return self._artifacts(), self._model(name), self.history.state(name)
        prepared, spec = self._need().prepared, self.history.spec
        factory, trusted = prepared.opened.factory, spec is not None and spec.trust_code
        if beside.source is not None:
            opened = replace(prepared.opened, name=beside.title)
            prepared = replace(prepared, spec=beside.source, opened=opened)
        model = comparing.model_of(self, beside, factory, trusted)
        return Artifacts(self.folder / "artifacts", prepared), model, comparing.as_state(beside)

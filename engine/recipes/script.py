"""A recipe as a Python script that calls the engine's public functions: what a person would have written.

Run in a fresh process it makes the same states as the recipe, bit for bit on the same machine: marks stand in it as
ranges of original indices, everything that is random has its seed, and torch gets as many threads. What a recipe holds
is spelled as data (`Spelling`), so no name or path in it can become code. Loads no torch.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, cast

from ..baselines.protocol import change_baseline
from ..machine.devices import CPU
from ..planning.infeasibility import goal_text
from ..sources.protocol import change_model
from ..storage.atomic_files import write
from ..storage.paths import Change, relative_to
from ..storage.serialization import to_json
from ..structures.index_ranges import more_ranges_than, ranges_of
from ..targets.protocol import TargetSpec
from ..tasks.protocol import metric_words
from ..text.format import counted, percent, size, thousands
from ..text.python_code import comment, literal, quoted
from .recipe import code_in, sealed_consent
from .steps import Attach, Compare, Cut, Export, LearnMasks, Numbers, Open, Plan, Recipe, Recover, Score, Step

BESIDE = "\0"
"""Begins a path that is relative to the script."""
WIDE = 108
"""Columns that a line may have."""
INDENT = 4
SCRIPT = "recipe.py"
MANY = 2_000
"""Ranges of a plan above which a script that is written into a file has its marks in a file beside it."""
AGAIN = "--plan-again"
PICKLE, TRUST = "--trust-pickle", "--trust-code"
SAFE = (".safetensors",)
"""Checkpoints that cannot run code."""


class Spelling:
    """Writes values, and remembers what it takes to import.

    Attributes:
        names: Of `secateur.engine`, in use.
        beside: A path relative to the script was written.
    """

    def __init__(self) -> None:
        """Nothing written yet."""
        self.names: set[str] = set()
        self.beside = False

    def use(self, *names: str) -> str:
        """Remember that names are used; returns the first."""
        self.names.update(names)
        return names[0]

    def of(self, value: Any, column: int = 0, indent: int = 0) -> str:
        """The expression of a value that begins in a column of a statement; on several lines where one is too short."""
        flat = self._flat(value)
        if column + len(flat) <= WIDE:
            return flat
        deeper = indent + INDENT
        inner, end = "\n" + " " * deeper, "\n" + " " * indent
        if is_dataclass(value):
            parts = [name + self.of(one, deeper + len(name), deeper) for name, one in given(value)]
            return f"{self.use(type(value).__name__)}({inner}{f',{inner}'.join(parts)},{end})"
        if isinstance(value, dict) and is_identities(cast("dict[Any, Any]", value)):
            marks = self.marks(ranges_of(cast("dict[str, list[int]]", value)), indent)
            return f"{self.use('indices_of')}({marks})"
        if isinstance(value, tuple | list):
            parts = [self.of(one, deeper, deeper) for one in cast("Iterable[Any]", value)]
            left, right = "()" if isinstance(value, tuple) else "[]"
            return f"{left}{inner}{f',{inner}'.join(parts)},{end}{right}"
        return flat

    def marks(self, ranges: Mapping[str, str], indent: int = 0) -> str:
        """A dictionary of ranges, a line for each set, long ones in several strings."""
        inner, lines = indent + INDENT, list[str]()
        for key, text in ranges.items():
            spelled = quoted(text)
            if inner + len(key) + 4 + len(text) > WIDE:
                parts, line = list[str](), ""
                for one in text.split(", "):
                    if len(line) + len(one) > WIDE - inner - 12:
                        parts, line = [*parts, line], ""
                    line += f"{one}, "
                begin = "\n" + " " * (inner + INDENT)
                strings = begin.join(quoted(part) for part in (*parts, line.removesuffix(", ")) if part)
                spelled = f"({begin}{strings}\n{' ' * inner})"
            lines.append(f"{' ' * inner}{quoted(key)}: {spelled},\n")
        return "{\n" + "".join(lines) + " " * indent + "}"

    def _flat(self, value: Any) -> str:
        match value:
            case Enum():
                text = f"{self.use(type(value).__name__)}.{value.name}"
            case str():
                self.beside = self.beside or value.startswith(BESIDE)
                text = f"str(HERE / {quoted(value[1:])})" if value.startswith(BESIDE) else quoted(value)
            case bool() | int() | float() | None:
                text = literal(value)
            case tuple() | list():
                values = cast("Iterable[Any]", value)
                is_tuple = isinstance(value, tuple)
                parts = [self._flat(one) for one in values]
                if is_tuple:
                    text = f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
                else:
                    text = f"[{', '.join(parts)}]"
            case dict():
                named = cast("dict[Any, Any]", value)
                if is_identities(named):
                    ranges = ", ".join(f"{quoted(key)}: {quoted(one)}" for key, one in ranges_of(named).items())
                    text = f"{self.use('indices_of')}({{{ranges}}})"
                else:
                    text = "{" + ", ".join(f"{self._flat(key)}: {self._flat(one)}" for key, one in named.items()) + "}"
            case _ if is_dataclass(value):
                inner = ", ".join(name + self._flat(one) for name, one in given(value))
                text = f"{self.use(type(value).__name__)}({inner})"
            case _:
                raise TypeError(f"{type(value).__name__} cannot be written as Python")
        return text


def given(value: Any) -> list[tuple[str, Any]]:
    """What a dataclass is called with: ("", its required fields), then ("name=", others that are no defaults)."""
    found: list[tuple[str, Any]] = []
    for one in fields(value):
        own = getattr(value, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if default is MISSING:
            found.append(("", own))
        elif own != default:
            found.append((f"{one.name}=", own))
    return found


def is_identities(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary is marks: keys of coupled sets (kind, name and dimension) to indices."""
    return bool(value) and all(
        isinstance(key, str) and key.count("|") >= 2 and isinstance(one, list) for key, one in value.items()
    )


@dataclass(slots=True)
class _Writer:
    """What is known while a script is written.

    Attributes:
        spelling: Spells values, knows what to import.
        change: What becomes of paths.
        marks: Of the plans, by name, as ranges.
        outside: The marks lie in a file of this name, "" where they stand in the script.
        foreign: Python files that it runs, where this user has not named them.
        plan: The plan that the next cut carries out, and its name.
        original: What came out of opening.
        again: There is a goal that can be planned again.
        sha: Of the last state's weights.
        cuts: How many there are so far.
        masked: The state that the next cut begins with says what it takes.
    """

    spelling: Spelling
    change: Change
    marks: dict[str, dict[str, str]]
    outside: str
    foreign: list[str]
    plan: tuple[Plan, str] | None = None
    original: Numbers = field(default_factory=Numbers)
    again: bool = False
    sha: str = ""
    cuts: int = 0
    masked: bool = False


def script_of(recipe: Recipe, folder: Path | None = None, outside: str = "") -> str:
    """The script of a recipe.

    Args:
        recipe: Its paths absolute.
        folder: Where the script will lie: paths in it are relative to that. None for absolute ones.
        outside: Name of the file beside it that holds the marks (`marks_of_plans`), "" to write them into the script.
    """
    change: Change = (lambda path: BESIDE + relative_to(folder)(path)) if folder else (lambda path: path)
    foreign = [] if sealed_consent(recipe).files else code_in(recipe)
    writer = _Writer(Spelling(), change, {} if outside else marks_of_plans(recipe), outside, foreign)
    parts = [part for step in recipe.steps if (part := _part(step, writer))]
    end = [f"same = state.weights == {quoted(writer.sha)}"]
    end += ['print(f"{state.parameters:,} parameters, {state.macs:,} MACs, weights {state.weights[:12]}")']
    end += ['print("the same weights as recorded" if same else "other weights than recorded")']
    end += ["if FOLDER:", "    finish(save_project(session, FOLDER, state.id))", "session.close()"]
    body = "\n\n".join(textwrap.indent(part, " " * 4) for part in (*parts, "\n".join(end)))
    return f'{_head(recipe, writer)}\n\ndef main() -> None:\n{body}\n\n\nif __name__ == "__main__":\n    main()\n'


def write_script(path: Path, recipe: Recipe) -> tuple[Path, ...]:
    """Write the script of a recipe atomically, with a file of marks beside it where they are many; what was written."""
    many, beside = many_marks(recipe), path.with_suffix(".marks.json")
    if many:
        write(beside, to_json(marks_of_plans(recipe), indent=1) + b"\n")
    write(path, script_of(recipe, path.parent, beside.name if many else "").encode())
    return (path, beside) if many else (path,)


def many_marks(recipe: Recipe) -> bool:
    """Whether the marks of a recipe are too many to be read in a script."""
    return any(more_ranges_than(step.outcome.removed, MANY) for step in recipe.steps if isinstance(step, Plan))


def marks_of_plans(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What each plan of a recipe marks, as ranges, by the name of its cut."""
    plans = [step for step in recipe.steps if isinstance(step, Plan)]
    return {f"cut {number}": ranges_of(plan.outcome.removed) for number, plan in enumerate(plans, 1)}


def _part(step: Step, writer: _Writer) -> str:
    """The lines of a step, "" for one that only prepares another."""
    # The last weights that were made are what the script compares its own result with; those of a baseline are not.
    writer.sha = step.outcome.weights if step.outcome.weights and not isinstance(step, Compare) else writer.sha
    lines: Sequence[str] = ()
    match step:
        case Open():
            lines = _open_lines(step, writer)
        case Plan():
            writer.cuts += 1
            writer.plan = step, f"cut {writer.cuts}"
        case LearnMasks():
            writer.masked = True
            writer.spelling.use("masked_state")
            lines = ["# Learn which structures stay, together with the weights."]
            lines += [f"masks = {writer.spelling.of(step.intent, 8)}"]
            lines = [
                *lines,
                "state = finish(masked_state(session, state.id, masks))",
                *_result(step.outcome, writer),
            ]
        case Cut():
            lines = _cut_lines(step, writer)
        case Recover():
            settings = writer.spelling.of(step.intent, 8)
            split = f"{writer.spelling.use('Split')}.TEST"
            words = (
                "Recover: fine-tune with the original as teacher." if step.intent.trains else "Repair without training."
            )
            lines = [f"# {words}", f"settings = {settings}"]
            lines += ["state = finish(session.recover(state.id, settings))"]
            lines = [
                *lines,
                f"print(finish(session.evaluate(state.id, {split})))",
                *_result(step.outcome, writer),
            ]
        case Attach():
            weights = writer.spelling.of(writer.change(step.intent.weights))
            lines = ["# Weights that were trained elsewhere.", f"state = finish(session.attach(state.id, {weights}))"]
        case Compare():
            asked = writer.spelling.of(change_baseline(step.intent, writer.change), 8)
            writer.spelling.use("make_baseline")
            lines = ["# Was it worth it? A baseline to compare with this state.", f"asked = {asked}"]
            lines = [*lines, "print(finish(make_baseline(session, state.id, asked)).metric)", *_metrics(step.outcome)]
        case Export():
            path = writer.spelling.of(writer.change(step.intent.path))
            writer.spelling.use("export_state")
            lines = [f"finish(export_state(session, state.id, {quoted(step.intent.format)}, {path}))"]
        case Score():  # Made where a plan is made again.
            pass
    return "\n".join(lines)


def _cut_lines(step: Cut, writer: _Writer) -> list[str]:
    """The plan before the cut and the cut; with `PLAN_AGAIN` the plan is made anew."""
    assert writer.plan is not None
    plan, name = writer.plan
    intent, goal = plan.intent, plan.intent.asked
    spelling = writer.spelling
    spelling.use("marks_of", "PlanIntent")
    found = f"MARKS[{quoted(name)}]" if writer.outside else spelling.marks(writer.marks[name])
    count = sum(len(indices) for indices in plan.outcome.removed.values())
    by = f", by {intent.criterion} scores" if intent.criterion else ""
    how = f"planned for {goal_text(goal)}{by}" if goal is not None else "marked by hand"
    lines = [f"# Cut {counted(count, 'structure')}, {comment(how)}."]
    lines += [f"marks = marks_of(opened.analysis, {found})"]
    lines += [f"plan = {spelling.of(replace(intent, keep_macs=0.0, multiple=1, kinds=(), goal=goal), 11)}"]
    if goal is not None and not writer.masked:
        writer.again = True
        # What is as by default is left out: a script is read by people.
        choices = "" if intent.choices == type(intent.choices)() else ", plan.choices"
        choices += f", seed={intent.seed}" if intent.seed else ""
        lines += ["if PLAN_AGAIN:"]
        lines += [f"    scores = finish(session.score(state.id, {quoted(intent.criterion or 'l1')}{choices}))"]
        table = ""
        if goal.timed:
            target = replace(goal.target or TargetSpec(), multiple=goal.multiple)
            spelling.use("latency_table")
            lines += [f"    table = finish(latency_table(session, {spelling.of(target, 48)}))"]
            table = ", table"
        if intent.search is not None:
            spelling.use("search_shares")
            lines += [f"    marks = finish(search_shares(session, state.id, plan, scores{table})).removed"]
        else:
            spelling.use("solve")
            locked, marked = "opened.analysis.empty()", "session.removed(state.id)"
            if intent.locked:
                locked = f"{spelling.use('from_identities')}(opened.analysis, plan.locked)[0]"
            if intent.marked:
                marked += f" | {spelling.use('from_identities')}(opened.analysis, plan.marked)[0]"
            lines += [f"    gone, locked = {marked}, {locked}"]
            lines += [f"    marks = solve(opened.analysis, scores, plan.goal, gone, locked{table}).removed"]
    writer.masked = False
    return [*lines, "state = finish(session.cut(state.id, marks, plan))", *_result(step.outcome, writer)]


def _open_lines(step: Open, writer: _Writer) -> list[str]:
    writer.original = step.outcome
    writer.spelling.use("Session", "finish", "save_project")
    spec = change_model(step.intent.model.without_consent, writer.change)
    weights = step.intent.model.weights
    consent = [f'trust_pickle="{PICKLE}" in sys.argv'] if weights and not weights.endswith(SAFE) else []
    if consent:
        writer.spelling.use("replace")
    spelled = writer.spelling.of(spec, 8)
    lines: list[str] = []
    if writer.foreign:
        names = ", ".join(Path(file).name for file in writer.foreign)
        words = f"This runs {names}. Read that code first, then run this with {TRUST} to allow it."
        lines += [f"if {quoted(TRUST)} not in sys.argv:", f"    sys.exit({quoted(words)})"]
    lines += [f"torch.set_num_threads({step.intent.threads})", "session = Session()"]
    lines += [f"session.use_device({quoted(step.intent.device)})"] if step.intent.device != CPU else []
    lines += [""]
    lines += [f"# The model: {_costs(step.outcome, None)}.", *_metrics(step.outcome)]
    lines += [f"spec = {spelled}"]
    if consent:
        lines += ["# The checkpoint may be a pickle, which can run code; run this with --trust-pickle to allow that."]
        lines += [f"spec = replace(spec, {consent[0]})"]
    return [*lines, "opened = finish(session.open(spec))", "state = opened.state"]


def _head(recipe: Recipe, writer: _Writer) -> str:
    first = recipe.steps[0]
    assert isinstance(first, Open)
    made = ", ".join(f"{name} {version}" for name, version in first.intent.versions.items())
    threads = counted(first.intent.threads, "thread")
    shown = comment(Path(first.intent.model.source).name).replace("\\", "/").replace('"', "'")
    lines = [
        f'"""Makes {shown} smaller, step by step as recorded with Secateur.',
        "",
        "    python THIS_FILE [FOLDER]    saves the project with all states to FOLDER, if given",
        "",
        "On the same machine it gives the same weights as its recipe, bit for bit. Numbers in comments are the",
        "recorded results, made with:",
        *textwrap.wrap(comment(f"{made}, {threads}.").replace("\\", "/").replace('"', "'"), 112),
        '"""',
        "",
    ]
    names = sorted(writer.spelling.names - {"replace"}, key=lambda name: (not name[0].isupper(), name))
    lines += ["import json"] if writer.outside else []
    lines += ["import sys"]
    lines += ["from dataclasses import replace"] if "replace" in writer.spelling.names else []
    lines += ["from pathlib import Path"] if writer.spelling.beside or writer.outside else []
    flat = f"from secateur.engine import {', '.join(names)}"
    if len(flat) > 118:
        flat = "from secateur.engine import (\n" + "".join(f"    {name},\n" for name in names) + ")"
    lines += ["", "import torch", "", flat, ""]
    if writer.spelling.beside or writer.outside:
        lines += ["HERE = Path(__file__).resolve().parent"]
    lines += ['FOLDER = next((one for one in sys.argv[1:] if not one.startswith("--")), "")']
    if writer.again:
        lines += [f'PLAN_AGAIN = "{AGAIN}" in sys.argv  # score and plan for the goals again, e.g. for other weights']
    if writer.outside:
        lines += [f"MARKS = json.loads((HERE / {quoted(writer.outside)}).read_text())"]
    return "\n".join([*lines, ""])


def _result(outcome: Numbers, writer: _Writer) -> list[str]:
    checked = ""
    if outcome.verification is not None:
        checked = f"; cut verified: equals the masked original, {outcome.verification.difference:.0e}"
    return [f"# {_costs(outcome, writer.original)}{checked}.", *_metrics(outcome)]


def _costs(outcome: Numbers, original: Numbers | None) -> str:
    shares = ("", "")
    if original is not None and original.parameters and original.macs:
        pairs = ((outcome.parameters, original.parameters), (outcome.macs, original.macs))
        shares = tuple(f" ({percent(now / before)})" for now, before in pairs)
    return f"{thousands(outcome.parameters)} parameters{shares[0]}, {size(outcome.macs)} MACs{shares[1]}"


def _metrics(outcome: Numbers) -> list[str]:
    return [f"# {comment(str(metric_words(metric)))}." for metric in outcome.metrics]

"""The window in a language that nobody speaks: no text stays English. That none is clipped, `test_fit.py` checks."""

import ast
import gc
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QCoreApplication, QLocale, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTreeWidget,
    QWidget,
)

from secateur.app.commands import COMMANDS, command_named
from secateur.app.dialogs.remote_bench import PROVIDERS
from secateur.app.panels.state_strip import Step
from secateur.app.startup.application import install_translations
from secateur.app.text.metrics import verified_tip
from secateur.app.text.translate import sentence
from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.errors import Message, PlanError
from secateur.engine.jobs import Progress, finish
from secateur.engine.messages import listed, module_named, of_kind
from secateur.engine.planning.goal import solve
from secateur.engine.planning.infeasibility import goal_text
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.finetune import DISTILLING, FINE_TUNING, TIMED
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.storage.serialization import from_json, to_json
from secateur.engine.surgery.cut.edits import OTHER_INPUTS, Check, Verification
from secateur.engine.workflows.baselines import compare_with_baselines
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.sensitivity import measure_sensitivity
from secateur.engine.workflows.sweep import MET, sweep_budgets
from tests.app.demo_analysis import scores_of, small_resnet
from tests.app.pseudo import Pseudo, pseudo
from tests.app.stand_in import StandIn, task_info, travelled
from tests.app.test_reach import every_dialog
from tests.app.whole import JOBS, full, window_of
from tests.conftest import ROOT
from tests.engine.session.small import write_project

PLAYED = (
    *(job.title for job in JOBS),
    "epoch 3 of 8",
    "Small ResNet",
    task_info().title,
    *task_info().classes,
    "Top-1",
    "top-1",
    "val",
)
"""What the played document calls things, and what its engine says of a job."""


def _strings():
    """The script that collects texts, which is in no package."""
    path = ROOT / "packaging" / "strings.py"
    spec = importlib.util.spec_from_file_location("strings", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


strings = _strings()
PYQTGRAPH = {"Form", "GraphicsScene", "PlotItem", "ViewBox"}
"""Its own menus, which are never shown."""
INSIDE = re.compile("\u27e6[^\u27e6\u27e7]*\u27e7")
DATA = {
    "ONNX", "MACs", "PyTorch", "Secateur", "AdamW", "Adam", "SGD", "onnxruntime", "torch", "openvino", "torchvision",
    "timm", "bundled", "path", "model", "make", "resnet", "resnet50", "logits", "boxes", "numpy", "home", "root",
    "conv", "conv1", "conv2", "layer", "fc", "bn1", "downsample", "net", "top", "fp32", "int8", "bf16", "fp16",
    "results", "json", "bench", "true", "false", "weights", "npz", "csv", "txt", "log", "pt", "onnx", "svg", "png",
    "Ctrl", "Shift", "Alt", "Del", "Esc", "Return", "Backspace", "Space", "Fashion", "MNIST", "Apache", "train",
    "val", "test", "cpu", "cuda", "mps", *PROVIDERS,
}  # fmt: skip
"""Names, and what the played document holds."""


def rest(text: str) -> str:
    """What of a text was not translated."""
    while (shorter := INSIDE.sub(" ", text)) != text:
        text = shorter
    return text


def english(text: str) -> list[str]:
    own = rest(text)
    for words in PLAYED:
        own = own.replace(words, " ")
    words = re.findall(r"[^\W\d_]{3,}\d?", re.sub(r"\S*[./\\=]\S*|.* et al[.], .*", " ", own))
    return [word for word in words if word not in DATA]


def texts(root: QWidget) -> Iterator[tuple[str, str]]:
    """All that is read of a window: (where, text)."""
    yield "title", root.windowTitle()
    for widget in (root, *root.findChildren(QWidget)):
        if widget.window() is not root.window() or widget.objectName().startswith("qt_"):
            continue
        where = type(widget).__name__
        yield where, widget.toolTip()
        yield where, widget.accessibleName()
        yield where, widget.accessibleDescription()
        if isinstance(widget, QLabel | QAbstractButton):
            yield where, widget.text()
        if isinstance(widget, Step):
            yield where, widget.caption
        if isinstance(widget, QComboBox):
            yield from ((where, widget.itemText(n)) for n in range(widget.count()))
        if isinstance(widget, QLineEdit | QPlainTextEdit):
            yield where, widget.placeholderText()
        if isinstance(widget, QAbstractSpinBox):
            yield where, widget.text()
        if isinstance(widget, QTabBar):
            yield from ((where, widget.tabText(n)) for n in range(widget.count()))
        if isinstance(widget, QHeaderView) and widget.model() is not None:
            for n in range(widget.count()):
                yield where, str(widget.model().headerData(n, Qt.Orientation.Horizontal) or "")
        if isinstance(widget, QTreeWidget):
            for n in range(widget.topLevelItemCount()):
                item = widget.topLevelItem(n)
                yield from ((where, item.text(column)) for column in range(2))
    for action in root.findChildren(QAction):
        yield "action", action.text()
        yield "action", action.toolTip()


@pytest.fixture
def translated(qapp) -> Iterator[None]:
    translator = Pseudo()
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)


def test_the_language_marks_words_and_leaves_fields_alone() -> None:
    assert pseudo("Open {name}...") == "\u27e6Öpëñ {name}...~~~~\u27e7"
    assert english(pseudo("Open it")) == [] and english("Open \u27e6x\u27e7") == ["Open"]


@pytest.fixture(params=["empty", "full"])
def window(request, qtbot, translated):
    with window_of({"empty": StandIn, "full": full}[request.param](), qtbot) as window:
        yield window


def test_nothing_in_the_window_stays_english(window) -> None:
    for tabs in window.area.tabs.values():
        for index in range(tabs.bar.count()):
            tabs.bar.setCurrentIndex(index)
            QApplication.processEvents()
    found = {(where, text) for where, text in texts(window) if english(text)}
    assert not found, "\n".join(map(str, sorted(found)))


def test_no_dialog_stays_english(qtbot, translated) -> None:
    found = []
    with window_of(full(), qtbot) as window:
        for name, dialog in every_dialog(window, qtbot):
            if name not in (
                "Diagnostics",
                "UnexpectedError",
                "Manual",
            ):  # facts for a report, and pages that are English only
                found += [(name, where, text) for where, text in texts(dialog) if english(text)]
    assert not found, "\n".join(map(str, found))


def test_every_command_and_reason_is_translated(translated) -> None:
    for document in (StandIn(), full()):
        for command in COMMANDS:
            for text in (command.title_now(document), command.enabled(document), command.tip_now(document.workbench)):
                assert not english(text), (command.id, text)


class Requests(Pseudo):
    """Writes down what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: set[tuple[str, str]] = set()

    def translate(self, context, source, disambiguation=None, n=-1) -> str:
        """Into the pseudo-language."""
        self.sources.add((context, source))
        return super().translate(context, source)


@pytest.mark.end_to_end
def test_translators_are_given_every_text_that_the_window_asks_for(qtbot, qapp) -> None:
    given = {text for one in strings.texts().values() for text in one}
    gc.collect()  # clocks of earlier tests' jobs would ask for their texts
    asked = Requests()
    QCoreApplication.installTranslator(asked)
    try:
        document = full()
        played = {one.reason.template for one in document.analysis.fixed}
        with window_of(document, qtbot) as window:
            for _ in every_dialog(window, qtbot):
                pass
    finally:
        QCoreApplication.removeTranslator(asked)
    ours = {one for one in asked.sources if one[1] and not re.match(r"Q[A-Z]", one[0]) and one[0] not in PYQTGRAPH}
    assert len(ours) > 400
    assert not (missing := {one for one in ours if one[1] not in given | played}), sorted(missing)


def test_a_translated_file_is_loaded_and_speaks(qapp, tmp_path) -> None:
    lrelease = shutil.which("pyside6-lrelease")
    if lrelease is None:
        pytest.skip("pyside6-lrelease is not installed")
    strings.write(tmp_path / "de.ts")
    words = (tmp_path / "de.ts").read_text(encoding="utf-8")
    before = '<source>Suggest plan</source>\n      <translation type="unfinished" />'
    assert before in words
    after = "<source>Suggest plan</source>\n      <translation>Plan vorschlagen</translation>"
    (tmp_path / "de.ts").write_text(words.replace(before, after), encoding="utf-8")
    command = [lrelease, str(tmp_path / "de.ts"), "-qm", str(tmp_path / "secateur_de.qm")]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    loaded = install_translations(qapp, QLocale(QLocale.Language.German), tmp_path)
    try:
        assert command_named("edit.suggest").title_now(full()) == "Plan vorschlagen"
        assert command_named("run.cut").tip_now(StandIn().workbench) == "Open a model first."
    finally:
        for translator in loaded:
            qapp.removeTranslator(translator)
    assert install_translations(qapp, QLocale(QLocale.Language.Korean), tmp_path) == []


def templates(message: Message) -> Iterator[str]:
    """Of a sentence, and of the sentences in its fields."""
    yield message.template
    for field in message.arguments.values():
        if isinstance(field, Message):
            yield from templates(field)


@pytest.mark.end_to_end
def test_all_that_jobs_say_of_themselves_is_given_to_translators(tmp_path):
    told: set[str] = set()

    def hear(progress: Progress) -> None:
        told.update(templates(progress.message))

    session = Session(tmp_path / "session")
    finish(session.open(write_project(tmp_path / "mine")), hear)
    for criterion in ("l1", "taylor", "fisher", "wanda", "batchnorm"):
        finish(session.score("s0", criterion), hear)
    settings = PruneRequest(Goal((Limit(Cost.MACS, 0.5),)), "l1", RecoverySettings(epochs=1, threads=1))
    swept = finish(sweep_budgets(session, "s0", settings, (0.8, 0.5)), hear)
    finish(measure_sensitivity(session, "s0", "l1", (0.5,)), hear)
    finish(export_state(session, swept.states[-1].id, "pytorch", str(tmp_path / "out")), hear)
    finish(compare_with_baselines(session, swept.states[-1].id, [BaselineSpec(BaselineKind.SCRATCH)], None), hear)
    session.close()
    given = {text for one in strings.texts().values() for text in one}
    assert {FINE_TUNING[1], TIMED[1], DISTILLING[1], MET.template} <= given
    assert len(told) > 20 and "Budget {number} of {count} ({share:.0%})" in told
    assert not (missing := told - given), sorted(missing)


def is_said(name: str) -> bool:
    return name == "Message" or (name.endswith("Error") and name != "OSError")  # the words of that are the system's


def test_a_sentence_within_a_sentence_is_translated_with_it(translated):
    inner = Message("a.b", "Cutting {count} sets", {"count": 3})
    said = sentence(Message("progress.part", "{whole}: {part}", {"whole": "plain name", "part": inner}))
    assert "3" in said and "plain name" in said
    assert not english(said.replace("plain name", ""))


def test_goals_in_words_are_translated_with_their_costs(translated):
    limits = (Limit(Cost.MACS, 0.5), Limit(Cost.SIZE, amount=3_000_000), Limit(Cost.LATENCY, amount=10**7))
    said = sentence(Message("a.b", "Planned again ({goal}).", {"goal": goal_text(Goal(limits))}))
    assert "50.0%" in said and "3 MB" in said and "10 ms" in said
    assert not english(said)


def test_a_goal_out_of_reach_says_in_the_language_what_to_relax(translated):
    analysis = small_resnet()
    goal = Goal((Limit(Cost.MACS, 0.01), Limit(Cost.PARAMETERS, 0.01)), scope=("layer1",), least=20)
    locked = analysis.empty()
    locked[analysis.sets[0].structures] = True
    with pytest.raises(PlanError) as refused:
        solve(analysis, scores_of(analysis), goal, analysis.empty(), locked)
    assert english(sentence(refused.value.message)) == []
    assert {name for name, _ in refused.value.message.arguments["obstacles"]} >= {"scope", "minimum"}


def test_what_a_verification_did_and_could_not_do_is_translated(translated):
    skipped = Message("verify.one_size", "another input size: only {reason}", {"reason": Message("a.b", "flat inputs")})
    verification = Verification((Check(OTHER_INPUTS, 1e-9, 0.1, 1e-7, "float64"),), (skipped, "as an old log has it"))
    cut = replace(travelled().states[1], verification=verification)
    told = verified_tip((cut,), cut)
    assert "as an old log has it" in told
    assert not english(told.replace("as an old log has it", "").replace("float64", ""))


def test_a_sentence_that_was_kept_is_translated_with_those_in_it(translated):
    whole = Message("a.b", "Left out: {sets}.", {"sets": listed([of_kind("fc", "head"), module_named("")])})
    assert from_json(to_json(whole), Message) == whole
    assert "fc" in sentence(whole) and not english(sentence(whole))


def test_fields_of_the_engines_sentences_hold_no_english(qapp):
    """What is said with numbers and names is itself a sentence; the command line speaks English alone."""
    found = list[str]()
    engine = ROOT / "engine"
    for path in (one for one in engine.rglob("*.py") if "cli" not in one.parts):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_said(getattr(node.func, "id", "")):
                fields = [one.value for one in node.keywords if one.arg != "details"]
                said = [text for field in (*fields, *node.args[2:3]) for text in said_in(field)]
                found += [f"{path.name}:{node.lineno} {text!r}" for text in said if english(text)]
    assert not found, "\n".join(found)


def said_in(node: ast.expr) -> Iterator[str]:
    """The texts that an expression puts together; what calls make of theirs is their own."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts) | ast.Dict(values=parts):
            yield from (text for part in parts for text in said_in(part))
        case ast.IfExp(body=first, orelse=second) | ast.BinOp(left=first, right=second):
            yield from (*said_in(first), *said_in(second))
        case ast.Call(func=ast.Attribute(value=joining)):
            yield from said_in(joining)
        case _:
            return

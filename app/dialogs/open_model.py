"""Open a model: where it comes from, its checkpoint, its input shape, and the data that evaluates it.

The kinds of sources, the names that are completed, and which kind a path or name is, are here too.
"""

import ast
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QStringListModel, Qt, QTimer, Slot
from PySide6.QtWidgets import QCompleter, QLineEdit, QSizePolicy, QWidget

from secateur.engine.options import setting_of
from secateur.engine.sources.protocol import DESCRIPTION, ModelSpec

from ..storage.open_target import (
    BUNDLE,
    CHECKPOINT,
    GRAPHS,
    HUGGING_FACE,
    WEIGHTS,
    is_file,
    is_folder,
    is_hugging_face,
    is_missing,
    is_ultralytics,
)
from ..text.translate import QT_TRANSLATE_NOOP
from ..widgets.fields import ComboBox
from ..widgets.flow import FlowLayout
from ..widgets.labels import label
from .attach_data import DataRows
from .form import FormDialog
from .settings_fields import check_field, is_valid, model_inputs, settings_line, words
from .window_api import WindowApi

CONTEXT = "OpenModel"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    Attributes:
        title: What the combo box shows.
        prefix: What a `ModelSpec` has before its name.
        example: A name of this kind.
        pick: What it is looked for as on disk: "file", "folder", or "" where it is not there.
    """

    title: str
    prefix: str
    example: str
    pick: str = ""


FILE = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Python file and callable"), "", "path/to/model.py:make_model", "file")
GRAPH = Kind(QT_TRANSLATE_NOOP(CONTEXT, "ONNX, torch.export or GGUF file"), "", "path/to/model.onnx", "file")
TORCHVISION = Kind(QT_TRANSLATE_NOOP(CONTEXT, "torchvision, by name"), "torchvision:", "resnet50")
TIMM = Kind(QT_TRANSLATE_NOOP(CONTEXT, "timm, by name"), "timm:", "resnet18.a1_in1k")
YOLO_FILE = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Ultralytics file (.pt, .yaml)"), "", "path/to/best.pt", "file")
YOLO = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Ultralytics, by name"), "ultralytics:", "yolo11n")
HUGGING_FACE_FOLDER = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Hugging Face folder"), "", "path/to/folder", "folder")
HUB = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Hugging Face, by name"), "hf:", "org/name")
SAMPLE = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Bundled sample"), "bundled:", "resnet")
FOLDER = Kind(QT_TRANSLATE_NOOP(CONTEXT, "Secateur project or export"), "", "path/to/folder", "folder")
KINDS = (FILE, GRAPH, TORCHVISION, TIMM, YOLO_FILE, YOLO, HUGGING_FACE_FOLDER, HUB, SAMPLE, FOLDER)
SAMPLES = ("resnet", "vit")
PAGE = re.compile(r"https?://(?:www\.)?huggingface\.co/(?!(?:datasets|spaces|docs)/)([\w.-]+/[\w.-]+)")
"""Address of a model's page on the Hub."""
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")
FILES = (*GRAPHS, *DESCRIPTION, *WEIGHTS, BUNDLE, ".json", ".py")
"""Endings that no repository has."""
CALLABLE = re.compile(r"(.+\.py):[\w.]*")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a text means.

    Attributes:
        kind: The source, None for a checkpoint, which needs one besides.
        name: What the field of that kind, or of the checkpoint, gets.
        others: Kinds that know the same name.
        guessed: It only looks like the name of a repository; a path that is not there looks the same.
    """

    kind: Kind | None
    name: str
    others: tuple[Kind, ...] = ()
    guessed: bool = False


@cache
def known_names(kind: Kind) -> tuple[str, ...]:
    """Names of a kind that can be completed, () where there is no list of them."""
    if kind is SAMPLE:
        return SAMPLES
    if kind not in (TORCHVISION, TIMM):
        return ()
    lists = json.loads((files("secateur.resources") / "data" / "model_names.json").read_text(encoding="utf-8"))
    return tuple(lists[kind.prefix.removesuffix(":")])


def detect(text: str) -> Detected | None:
    """The source that a pasted path, name or address means, None where nothing says that."""
    text = text.strip().strip("\"'").removeprefix("file://")
    if not text:
        return None
    prefixed = next((kind for kind in KINDS if kind.prefix and text.startswith(kind.prefix)), None)
    if prefixed is not None:
        return Detected(prefixed, text.removeprefix(prefixed.prefix))
    if (page := PAGE.match(text)) is not None:
        return Detected(HUB, page[1])
    found = _detect_on_disk(text)
    if found is not None:
        return found
    known = [kind for kind in (TORCHVISION, TIMM) if text in known_names(kind)]
    if known:
        return Detected(known[0], text, tuple(known[1:]))
    repository = REPOSITORY.fullmatch(text) and not text.lower().endswith(FILES)
    return Detected(HUB, text, guessed=True) if repository else None


def _detect_on_disk(text: str) -> Detected | None:
    python, there = CALLABLE.fullmatch(text), is_file(text)
    path = Path(text).expanduser() if there or is_folder(text) else Path(text)
    if is_folder(text):
        return Detected(HUGGING_FACE_FOLDER if is_hugging_face(str(path)) else FOLDER, text)
    if there and path.name in HUGGING_FACE and is_hugging_face(str(path.parent)):
        return Detected(HUGGING_FACE_FOLDER, str(path.parent))
    if path.suffix == ".py" or (python is not None and is_file(python[1])):
        return Detected(FILE, text)
    if path.suffix.lower() in GRAPHS or (there and is_ultralytics(path)):
        return Detected(GRAPH if path.suffix.lower() in GRAPHS else YOLO_FILE, text)
    if path.suffix.lower() == BUNDLE and there:
        return Detected(FOLDER, text)
    return Detected(None, text) if path.suffix.lower() in WEIGHTS and there else None


LIBRARIES = (TORCHVISION, TIMM)
"""Sources whose library offers weights."""
WHOLE = ((GRAPHS, GRAPH), ((CHECKPOINT, *DESCRIPTION), YOLO_FILE))
"""Endings of files that hold a whole model, and their kinds."""
OFFERED = 5
"""Callables that a sentence names."""
TYPED = (FILE, GRAPH, HUGGING_FACE_FOLDER, YOLO_FILE)
"""Sources that a path is recognised as while it is typed: others may be the beginning of another name."""
PAUSE = 400
"""After the last key before what is typed is looked at, in milliseconds."""
GAP = 8
"""Between boxes, in device-independent pixels."""


class OpenModel(FormDialog):
    """The dialog.

    Attributes:
        kind: Combo box of kinds of sources.
        name: Name, or path and callable.
        maker: Combo box of what in a Python file can make a model.
        recognised: Says what a pasted or typed text was taken for.
        weights: Checkpoint file.
        pretrained: Name of the library's weights.
        inputs: Example inputs, by shape.
        outputs: Names of the outputs that must stay.
        own_class: Whether only plans count that leave the model's code as it is.
        uniform: Whether only plans count that one configuration describes.
        ignore_unused: Whether what modules may read that do not run may be pruned.
        data: The rows of the data.
    """

    def __init__(self, window: WindowApi, source: str = "", compares: bool = False, kind: Kind | None = None) -> None:
        """Ask in a window.

        Args:
            window: What the dialog opens over.
            source: What is known already.
            compares: The model is to be compared with the open one, which stays open.
            kind: The kind of source to begin with, None for what was asked for last.
        """
        title, verb = self.tr("Open a model"), self.tr("Open")
        sentence = self.tr("The model is opened in a separate process, not in this window.")
        if host := window.document.engine.place:
            sentence = self.tr("The model is opened on {host}, and paths are paths there.").format(host=host)
        if compares:
            title, verb = self.tr("Compare with another model"), self.tr("Compare")
            sentence = self.tr("Its layers are shown beside those of the current state. The open model stays open.")
        super().__init__(window.as_widget(), title, sentence, verb)
        self._callables: tuple[str, ...] = ()
        self._window, self._compares, self._place = window, compares, window.document.engine.place
        self.read_elsewhere(window.workbench.elsewhere)
        self._before, self._by_hand = "", False
        self.kind = ComboBox(self.tr("Source"))
        for one in KINDS:
            self.kind.addItem(_title(one), one)
        self.add_row(self.tr("Source"), self.kind)
        self.name = self.add_path(self.tr("Model"), pick=lambda: self.kind.currentData().pick, filters=self._filters)
        self.maker = ComboBox(self.tr("Function or class in the file that returns the model"))
        self.add_row(self.tr("Callable"), self.maker)
        self.recognised = label("", "caption", wrap=True)
        self.recognised.setSizePolicy(QSizePolicy.Policy.Expanding, self.recognised.sizePolicy().verticalPolicy())
        self.form.addRow("", self.recognised)
        self._completer = QCompleter(self)
        self._completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self._completer.setModel(QStringListModel(self))
        self.name.setCompleter(self._completer)
        self._pause = QTimer(self, interval=PAUSE, singleShot=True)
        self._pause.timeout.connect(self._recognise_path)
        self.maker.activated.connect(self._name_callable)
        self.name.textChanged.connect(self._look_into)
        self.name.textEdited.connect(self._recognise_edited)
        self.name.editingFinished.connect(self._recognise_finished)
        self.weights = settings_line(setting_of(ModelSpec, "weights"), self.add_path)
        self.pretrained = settings_line(setting_of(ModelSpec, "pretrained"), self.add_line)
        self.inputs = settings_line(setting_of(ModelSpec, "inputs"), self.add_line)
        self.outputs = settings_line(setting_of(ModelSpec, "outputs"), self.add_line)
        self._add_plans_row()
        self.data = DataRows(self, self._place, optional=True)
        self.show_row(self.data.kind, not compares)
        self.kind.currentIndexChanged.connect(self._show_kind)
        self.kind.activated.connect(self._note_choice)
        if kind is not None:
            self.kind.setCurrentIndex(KINDS.index(kind))
        elif (
            not compares
            and (asked := window.workbench.model.asked) is not None
            and not asked.source.startswith(SAMPLE.prefix)
        ):
            self._fill(asked)
        self._show_kind()
        self._take(source, self.name.text())
        self._before = self.name.text()
        self.name.setFocus()

    def _add_plans_row(self) -> None:
        self.own_class = check_field(setting_of(ModelSpec, "own_class"))
        self.uniform = check_field(setting_of(ModelSpec, "uniform"))
        self.ignore_unused = check_field(setting_of(ModelSpec, "ignore_unused"))
        self._plans = QWidget()
        row = FlowLayout(self._plans, gap=GAP)
        for box in (self.own_class, self.uniform, self.ignore_unused):
            row.addWidget(box)
        self.add_row(self.tr("Plans"), self._plans)

    def act(self) -> None:
        """Open the model, or compare it with the open one."""
        if self._compares:
            self._window.workbench.others.compare(self.spec())
        else:
            self._window.open(self.spec())

    def _take(self, source: str, model: str = "") -> None:
        """Take over a path, a name or an address as what it is; one that nothing is known of as a Python file.

        Args:
            source: What is taken over.
            model: What a checkpoint belongs to, "" where that must be asked.
        """
        found = detect(source)
        if found is None:
            return self.name.setText(source) if source else None
        if found.kind is None:
            # A project or export has its own weights.
            if self.kind.currentData() is FOLDER:
                self.kind.setCurrentIndex(KINDS.index(FILE))
                model = ""
            self.weights.setText(found.name)
            self.name.setText(model)
            asks = self.tr("Recognised as a checkpoint. Enter the model that it belongs to.")
            return self._say_recognised(self.tr("Recognised as a checkpoint of this model.") if model else asks)
        self.kind.setCurrentIndex(KINDS.index(found.kind))
        self._name_file(found.name)
        words = self.tr("Recognised: {kind}.").format(kind=_title(found.kind))
        for kind in found.others:
            library = kind.prefix.removesuffix(":")
            words += " " + self.tr("{library} has a model of that name too.").format(library=library)
        self._say_recognised(words)

    def _say_recognised(self, words: str) -> None:
        """Say below the model what a text was taken for."""
        self.recognised.setText(words)
        self.form.setRowVisible(self.recognised, bool(words))
        self._fit()

    @Slot(str)
    def _recognise_edited(self, text: str) -> None:
        """Recognise what is pasted at once; what is typed or completed, once it is whole."""
        pasted, self._before = _pasted_part(self._before, text), text
        self._say_recognised("")
        if pasted:
            self._recognise(pasted)
        else:
            self._pause.start()

    @Slot()
    def _recognise_path(self) -> None:
        """Take a path that was typed for what it is, unless it may still become a longer one."""
        found = detect(self.name.text())
        if self.problem() and found is not None and found.kind in TYPED:
            self._recognise()

    @Slot()
    def _note_choice(self) -> None:
        self._by_hand = True

    def _recognise(self, pasted: str = "") -> None:
        """Choose another source where the text is none of the chosen one.

        Args:
            pasted: What of the text was pasted just now, "" for nothing. A mistyped path looks like the name of a
                repository: only what was pasted is taken for one, unless a source on disk was chosen.
        """
        text, kind = self.name.text().strip(), self.kind.currentData()
        found = detect(text)
        if found is None or text in known_names(kind) or (found.kind is kind and found.name == text):
            return
        if found.kind is HUB and kind in LIBRARIES:
            # The installed library may be newer than our list of its names.
            return
        if found.guessed and ("/" not in pasted or (self._by_hand and kind.pick)):
            return
        self._take(text)
        self._before = self.name.text()

    def _fill(self, spec: ModelSpec) -> None:
        """Begin with what was asked for last: it may have failed for one field."""
        prefixed = next((one for one in KINDS if one.prefix and spec.source.startswith(one.prefix)), None)
        folder = HUGGING_FACE_FOLDER if is_hugging_face(spec.source) else FOLDER
        file = next((kind for endings, kind in WHOLE if spec.source.lower().endswith(endings)), FILE)
        # On another disk a folder is known by its name alone.
        is_folder = not Path(spec.source).suffix if self._place else Path(spec.source).is_dir()
        kind = prefixed or (folder if is_folder else file)
        self.kind.setCurrentIndex(KINDS.index(kind))
        self.name.setText(spec.source.removeprefix(kind.prefix))
        self.weights.setText(spec.weights)
        self.pretrained.setText(spec.pretrained)
        self.inputs.setText(" ".join(map(str, spec.asked_inputs)))
        self.outputs.setText(", ".join(spec.outputs))
        self.own_class.setChecked(spec.own_class)
        self.uniform.setChecked(spec.uniform)
        self.ignore_unused.setChecked(spec.ignore_unused)
        if spec.task is not None:
            self.data.take(spec.task)

    def take_path(self, line: QLineEdit, path: str) -> None:
        """Take a file that was looked for; of a Python file, with what in it makes the model."""
        super().take_path(line, path)
        if line is self.name:
            found = detect(path)
            if found is not None and found.kind in (GRAPH, YOLO_FILE):
                self.kind.setCurrentIndex(KINDS.index(found.kind))
            self._name_file(path)

    @Slot()
    def _recognise_finished(self) -> None:
        """Take a file whose path was typed, and nothing behind it, like one that was picked."""
        if self.problem():
            self._recognise()
        if self.kind.currentData() is FILE and self.name.text().strip().endswith(".py") and self._callables:
            self._name_file(self.name.text().strip())

    def _name_file(self, path: str) -> None:
        """Take a path over, with the first of what in it can make a model."""
        found = callables_in(Path(path).expanduser()) if self._is_code(path) else ()
        self.name.setText(f"{path}:{found[0]}" if found else path)

    def _is_code(self, path: str) -> bool:
        """Whether a path names a Python file that can be looked into from here."""
        return not self._place and path.endswith(".py") and is_file(path)

    def _look_into(self) -> None:
        """Offer what a Python file that is named has to offer."""
        file, end, said = self.name.text().rpartition(".py")
        path = f"{file}{end}"
        self._callables = callables_in(Path(path).expanduser()) if self._is_code(path) else ()
        self.maker.clear()
        self.maker.addItems(self._callables)
        self.maker.setCurrentIndex(self.maker.findText(said.removeprefix(":").strip()))
        self._show_maker()
        self.check()

    def _show_maker(self) -> None:
        self.show_row(self.maker, self.kind.currentData() is FILE and bool(self._callables))

    @Slot(int)
    def _name_callable(self, index: int) -> None:
        file, end, _ = self.name.text().rpartition(".py")
        self.name.setText(f"{file}{end}:{self.maker.itemText(index)}")

    def _filters(self) -> str:
        """Files that a search for the model shows."""
        if self.kind.currentData() is GRAPH:
            return self.tr("Models (*.onnx *.pt2 *.gguf);;All files (*)")
        if self.kind.currentData() is YOLO_FILE:
            return self.tr("Ultralytics files (*.pt *.yaml *.yml);;All files (*)")
        return self.tr("Python files (*.py);;All files (*)") if self.kind.currentData() is FILE else ""

    @Slot()
    def _show_kind(self) -> None:
        """Show the rows of the chosen kind of source, and complete its names."""
        kind = self.kind.currentData()
        self._say_recognised("")
        names = self._completer.model()
        assert isinstance(names, QStringListModel)
        names.setStringList(known_names(kind))
        self.name.setPlaceholderText(kind.example)
        self.show_browse(self.name, bool(kind.pick))
        self._show_maker()
        self.show_row(self.weights, kind is not FOLDER)
        self.show_row(self.pretrained, kind in LIBRARIES)
        self.show_row(self.inputs, kind is not FOLDER)
        for field in (self.outputs, self._plans):
            self.show_row(field, kind is not FOLDER and not self._compares)
        self.check()

    def spec(self) -> ModelSpec:
        """What was asked for."""
        kind, name = self.kind.currentData(), self.name.text().strip()
        source = kind.prefix + name.removeprefix(kind.prefix)
        if kind is FOLDER:
            return ModelSpec(source, task=self.data.spec())
        spec = ModelSpec(
            source,
            self.weights.text().strip(),
            task=self.data.spec(),
            outputs=words(self.outputs.text()),
            own_class=self.own_class.isChecked(),
            uniform=self.uniform.isChecked(),
            ignore_unused=self.ignore_unused.isChecked(),
            pretrained=self.pretrained.text().strip() if kind in LIBRARIES else "",
        )
        return spec.with_inputs(model_inputs(self.inputs.text()))

    def problem(self) -> str:  # noqa: PLR0911 - a sentence for each row
        """What is missing of the model, its details or its data."""
        kind, name = self.kind.currentData(), self.name.text().strip()
        file, _, callable_ = name.rpartition(":")
        if not name:
            return self.tr("Enter a model, for example {example}.").format(example=kind.example)
        if kind is FILE and not (file.endswith(".py") and callable_):
            if self._callables:
                words = self.tr("Add a colon and the callable that returns the model, for example {names}.")
                return words.format(names=", ".join(self._callables[:OFFERED]))
            return self.tr("Enter the file and its callable that returns the model: path/to/model.py:make_model.")
        if kind is FILE and is_missing(file, self._place, Path.is_file):
            return self.tr("{file} does not exist.").format(file=file)
        if kind is GRAPH and not name.lower().endswith(GRAPHS):
            return self.tr("Enter a file that ends in .onnx, .pt2 or .gguf.")
        if kind is YOLO_FILE and not name.lower().endswith((CHECKPOINT, *DESCRIPTION)):
            return self.tr("Enter a file that ends in .pt, .yaml or .yml.")
        if kind in (GRAPH, YOLO_FILE) and is_missing(name, self._place, Path.is_file):
            return self.tr("{file} does not exist.").format(file=name)
        if kind.pick == "folder" and is_missing(name, self._place, Path.is_dir):
            return self.tr("{name} is not a folder.").format(name=name)
        if self.weights.text() and is_missing(self.weights.text(), self._place, Path.is_file):
            return self.tr("{file} does not exist.").format(file=self.weights.text())
        if not is_valid(model_inputs, self.inputs.text()):
            return self.tr("Enter each input as 1x3x224x224, or with name and type as input_ids=2x16:int64.")
        return self.data.problem()


def ask_to_compare(window: WindowApi) -> None:
    """Ask for a model to compare with the open one, which stays open."""
    OpenModel(window, compares=True).open()


def _pasted_part(before: str, text: str) -> str:
    """What has come into a text, where that is more than a letter or has taken the place of others; else ""."""
    begin = _common_length(before, text)
    end = _common_length(before[begin:][::-1], text[begin:][::-1])
    pasted = len(text) > begin + end and max(len(before), len(text)) - begin - end > 1
    return text[begin : len(text) - end] if pasted else ""


def _title(kind: Kind) -> str:
    return QCoreApplication.translate(CONTEXT, kind.title)


def _common_length(one: str, other: str) -> int:
    """How many letters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def ask(window: WindowApi, source: str = "") -> None:
    """Open the dialog over a window."""
    OpenModel(window, source).open()


LARGEST_CODE = 4_000_000
"""Bytes of a Python file that is read."""


def callables_in(file: Path) -> tuple[str, ...]:
    """Functions and classes at the top of a file that can be called with nothing: what may make a model.

    Args:
        file: A Python file; one that cannot be read or parsed has none.

    Returns:
        Names in the order of the file, functions first. A class counts where it is derived from something.
    """
    try:
        if file.stat().st_size > LARGEST_CODE:
            return ()
        body = ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    functions = [one.name for one in body if isinstance(one, ast.FunctionDef) and _needs_nothing(one, bound=0)]
    classes: list[str] = []
    for one in body:
        if isinstance(one, ast.ClassDef) and one.bases:
            methods = (part for part in one.body if isinstance(part, ast.FunctionDef))
            made = next((part for part in methods if part.name == "__init__"), None)
            if made is None or _needs_nothing(made, bound=1):
                classes.append(one.name)
    return tuple(name for name in (*functions, *classes) if not name.startswith("_") and name != "main")


def _needs_nothing(one: ast.FunctionDef, bound: int) -> bool:
    """Whether all arguments but the `bound` first have a default."""
    given = one.args
    by_place = len(given.posonlyargs) + len(given.args) - bound - len(given.defaults)
    return by_place <= 0 and all(default is not None for default in given.kw_defaults)

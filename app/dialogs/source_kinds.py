"""Kinds of sources that *Open model* offers, the names that it completes, and which kind a path or name is."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from secateur.engine.sources.protocol import DESCRIPTION

from ..storage.open_target import (
    BUNDLE,
    GRAPHS,
    HUGGING_FACE,
    WEIGHTS,
    is_file,
    is_folder,
    is_hugging_face,
    is_ultralytics,
)
from ..text.translate import QT_TRANSLATE_NOOP

CONTEXT = "OpenModel"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    Attributes:
        title: What the combo box shows.
        prefix: What stands before its name in a `ModelSpec`.
        example: A name of this kind.
        pick: What it is looked for as on disk: "file", "folder", or "" where it does not lie there.
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
        kind: The source, None for a checkpoint, which needs one beside it.
        name: What stands in the field of that kind, or of the checkpoint.
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
    return _on_disk(text) or _by_name(text)


def _on_disk(text: str) -> Detected | None:
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


def _by_name(text: str) -> Detected | None:
    known = [kind for kind in (TORCHVISION, TIMM) if text in known_names(kind)]
    if known:
        return Detected(known[0], text, tuple(known[1:]))
    repository = REPOSITORY.fullmatch(text) and not text.lower().endswith(FILES)
    return Detected(HUB, text, guessed=True) if repository else None

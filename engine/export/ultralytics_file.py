"""Exporter to Ultralytics' own checkpoint (.pt): `YOLO("cut.pt")` predicts, validates and exports with it.

Their format is a pickled module. It is written here and never read: what loads it is their package, in a fresh process.
"""

import pickle
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from ..adapters.ultralytics_yolo import is_yolo, library, trained_with
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, Progress
from ..messages import listed
from ..runtime.load_pruned import own_class
from ..storage.temporary_folders import temporary_folder
from ..surgery.cut.cut import copy_model
from .model_package import bytes_of
from .protocol import Exported, ExportRequest, Predictor
from .pytorch import check_by_code
from .staged_output import check_destination, staged_file
from .table import require

FORMAT, FILE = "ultralytics", "cut.pt"
RUNTIME = own_class.__module__.rpartition(".")[0]
"""Where classes are defined that cuts put in place of others."""
SHOWN = 5
"""Names in a sentence."""
CODE = f"""\
import numpy
from ultralytics import YOLO

path = f"{{folder}}/{FILE}"
YOLO(path).predict(numpy.zeros((64, 64, 3), "uint8"), imgsz=64, save=False, verbose=False)
model = YOLO(path).model
"""
"""What loads a file in a fresh process, predicts with it, and gives its model."""


class UltralyticsExporter:
    """Writes one file that holds the module of Ultralytics' own classes, its names and the settings of its training."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """A model of other classes, or one whose code had to be changed: their file holds a class by its name."""
        if not is_yolo(request.model):
            template = (
                "{name} is not an Ultralytics YOLO model, whose checkpoints end in .pt. Use a .pt2 program, or a "
                "PyTorch folder (safetensors weights and code that loads them)."
            )
            return ExportError("export.yolo_class", template, name=request.name)
        changed = list[str]()
        for path, module in request.model.named_modules():  # not of a class that a cut put in place of another
            if own_class(module) is not type(module) or type(module).__module__.startswith(f"{RUNTIME}."):
                changed.append(path)
        if changed:
            template = (
                "An Ultralytics checkpoint holds the package's own classes only, but the cut needs another code in "
                "{modules}. Cut with only plans that run with the unchanged class, or export to another format."
            )
            return ExportError("export.yolo_code", template, modules=listed(changed, SHOWN))
        return None

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write the file, then load it by `YOLO` in a process that cannot import Secateur, predict and compare.

        Raises:
            ExportError: Nothing is left behind, an older file of that name is still there.
        """
        require(self.refusal(request))
        path = Path(request.path).expanduser().absolute()
        check_destination(path, bytes_of(request.model))
        yield Progress("Writing the file", 0, 2)
        with temporary_folder() as folder, staged_file(path) as temporary:
            try:
                copied: Any = copy_model(request.model).eval()
                settings = trained_with(request.model)
                copied.args = dict(settings)
                copied.criterion = None
                checkpoint = {  # as their trainer's last one, without an optimiser
                    "epoch": -1,
                    "best_fitness": None,
                    "ema": None,
                    "model": copied,
                    "optimizer": None,
                    "train_args": settings,
                    "date": datetime.now().astimezone().isoformat(timespec="seconds"),
                    "version": str(library().__version__),
                }
                torch.save(checkpoint, folder / FILE)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                template = "The model cannot be pickled: {error}. Export a PyTorch folder."
                raise ExportError("export.yolo_pickle", template, error=str(error)) from error
            difference = yield from check_by_code(folder, CODE, request, token)
            shutil.copyfile(folder / FILE, temporary)
        template = (
            "Ultralytics predicts, validates and exports with this file. Its own training would build the uncut "
            "network from the description: recover in Secateur instead."
        )
        note = Message("export.yolo_training", template)
        return Exported(FORMAT, (str(path),), difference, None, path.stat().st_size, (note,))

    def predictor(self, path: str) -> Predictor | None:
        """None: the file is a pickle, which is not read here."""
        return None

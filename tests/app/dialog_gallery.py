"""Every dialog of the window, one of each: what pictures are taken of, and what tests walk through."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from PySide6.QtWidgets import QDialog, QWidget

from secateur.app import dialogs, panels, window

BASES = {"FormDialog", "FolderDialog", "ChooseMode"}
"""What other dialogs are made from, and one that asks about a recipe that was read."""


def dialog_kinds() -> dict[str, type[QWidget]]:
    """All classes of dialogs by their names, and the one popover."""
    for package in (dialogs, panels, window):
        _load(package)
    from secateur.app.panels.tree.options import RatingOptions

    found: dict[str, type[QWidget]] = {"RatingOptions": RatingOptions}
    todo: list[type[QDialog]] = [QDialog]
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            if kind.__module__.startswith("secateur.app.") and kind.__name__ not in BASES:
                found[kind.__name__] = kind
    return dict(sorted(found.items()))


def make(kind: type[QWidget], window: Any) -> QWidget:
    """One of a kind over a window: most take the window alone."""
    return _SPECIAL.get(kind.__name__, kind)(window)


def _cancel(window: Any) -> QDialog:
    from secateur.app.dialogs.closing import CancelJob

    return CancelJob(window, next((job.id for job in window.document.jobs), 0))


def _compare_models(window: Any) -> QDialog:
    from secateur.app.dialogs.compare_models import CompareModels
    from secateur.engine.structures.costs import layers_of

    found = layers_of(window.document.analysis)
    return CompareModels(window, found, replace(found, name="net", rows=found.rows[1:]))


def _consent(window: Any) -> QDialog:
    from secateur.app.dialogs.consent import ConsentDialog
    from secateur.app.document.job_state import ConsentRequest
    from secateur.engine.errors import OpenError

    template = (
        "{path} holds more than tensors, so loading it can run code from the file. Allow that only if you trust its "
        "source; otherwise save only the state_dict()."
    )
    error = OpenError("checkpoint.pickle", template, path="weights.pt")
    return ConsentDialog(window, error, ConsentRequest("weights.pt", lambda consent: None))


def _export(window: Any) -> QDialog:
    from secateur.app.dialogs.export import ExportDialog

    return ExportDialog(window, "onnx")


def _mode(window: Any) -> QDialog:
    from secateur.app.dialogs.apply_recipe import ChooseMode
    from secateur.engine.errors import Message
    from secateur.engine.recipes.compatibility import Fit, Mode
    from secateur.engine.recipes.steps import Recipe

    sentences = (
        Message("fit.weights", "The model's weights differ from those that the recipe was made with."),
        Message("fit.files", "The data files have changed: names or sizes differ."),
    )
    fit = Fit(Recipe(1, ()), sentences=sentences, refused={Mode.SAME_INDICES: sentences[0]})
    return ChooseMode(window, "recipe.json", fit)


def _plot(window: Any) -> QDialog:
    from secateur.app.dialogs.save_plot import SavePlot

    return SavePlot(window, window.area.drawings())


def _rating(window: Any) -> QWidget:
    from secateur.app.panels.tree.options import RatingOptions

    return RatingOptions(window.document, window)


def _replace(window: Any) -> QDialog:
    from pathlib import Path

    from secateur.app.dialogs.form import Replace

    return Replace(window, Path("model.onnx"), lambda: None)


def _recovery(window: Any) -> QDialog:
    from secateur.app.dialogs.recovery_settings import RecoverySettingsDialog

    return RecoverySettingsDialog(window, window.document.recovery, lambda settings: None)


def _hand_on(window: Any) -> QDialog:
    from secateur.app.dialogs.export import Share

    return Share(window, "report")


def _mishap(window: Any) -> QDialog:
    from secateur.app.startup.exception_hook import UnexpectedError

    return UnexpectedError(window, "ValueError: not a number")


def _browser(window: Any) -> QDialog:
    from secateur.app.dialogs.remote_browser import RemoteBrowser
    from tests.app.remote.disk import Disk

    disk: Any = Disk({"/home/me/models": None, "/home/me/net.pt": 45_000_000})
    return RemoteBrowser(window, disk, window.tr("Checkpoint"))


def _send(window: Any) -> QDialog:
    from secateur.app.dialogs.remote_browser import SendFile
    from tests.app.remote.disk import Disk

    disk: Any = Disk({})
    return SendFile(window, disk, __file__, lambda path: None)


def _unsaved(window: Any) -> QDialog:
    from secateur.app.dialogs.closing import UnsavedWork

    return UnsavedWork(window, lambda: None)


def _install(window: Any) -> QDialog:
    from secateur.app.dialogs.connect import InstallThere
    from secateur.engine.errors import SecateurError
    from secateur.engine.subprocesses.ssh import Address

    error = SecateurError("remote.version", "{host} has Secateur {there}.", host="gpu", there="0.1.0")
    return InstallThere(window, Address("gpu", "me"), error, lambda: None)


def _moved(window: Any) -> QDialog:
    from secateur.app.dialogs.relocate_file import RelocateFile

    return RelocateFile(window, "images/val", window.tr("Data"), lambda path: None)


_SPECIAL: dict[str, Callable[[Any], QWidget]] = {
    "CancelJob": _cancel,
    "CompareModels": _compare_models,
    "ConsentDialog": _consent,
    "ChooseMode": _mode,
    "ExportDialog": _export,
    "InstallThere": _install,
    "Share": _hand_on,
    "UnexpectedError": _mishap,
    "UnsavedWork": _unsaved,
    "RelocateFile": _moved,
    "RemoteBrowser": _browser,
    "SendFile": _send,
    "RatingOptions": _rating,
    "RecoverySettingsDialog": _recovery,
    "Replace": _replace,
    "SavePlot": _plot,
}


def _load(package: ModuleType) -> None:
    """Import all of a package, so that its classes are known."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)


def takes_a_window(kind: type[QWidget]) -> bool:
    """Whether a dialog can be made by `make`."""
    needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    return kind.__name__ in _SPECIAL or len(needed) == 1

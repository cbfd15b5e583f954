"""Commands that open, save and export."""

from functools import partial
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document.preconditions import (
    all_of,
    has_model,
    has_no_marks,
    has_offer,
    has_restorable_session,
    has_weights,
    is_idle,
    is_untrained,
)
from ..jobs.workbench import Workbench
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, opens, say

_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "File"))


def _sample(name: str) -> Any:
    def run(window: WindowApi) -> None:
        from secateur.engine.sources.protocol import ModelSpec

        window.open(ModelSpec(f"bundled:{name}"))

    return run


def _export_takes(workbench: Workbench) -> str:
    return workbench.estimator.words("export", workbench.document.contents.present)


def _quit_keeps(workbench: Workbench) -> str:
    if place := workbench.document.engine.place:
        return say("Unsaved work is deleted on {host}; you are asked first.").format(host=place)
    return say("Unsaved work is kept as a draft on the start page.")


_WRITABLE = all_of(has_model, has_weights, is_idle)

FILE = (
    _command(
        "file.open",
        "Open model...",
        "Open your own model from a Python file, torchvision, timm, ONNX or Hugging Face.",
        opens("open_model", "ask"),
        "Ctrl+O",
        enabled=is_idle,
    ),
    _command(
        "file.open_project",
        "Open project...",
        "Open a saved project folder with all its states.",
        opens("project", "ask_folder"),
        enabled=is_idle,
    ),
    _command(
        "file.open_bundle",
        "Open bundle...",
        "View a shared bundle: its states, plan and metrics.",
        opens("project", "ask_bundle"),
        enabled=is_idle,
    ),
    _command(
        "file.apply_recipe",
        "Apply recipe to new checkpoint...",
        "Repeat the steps of a recipe on a new version of the model.",
        opens("apply_recipe", "ask"),
        enabled=is_idle,
        line=True,
    ),
    _command(
        "file.restore",
        "Restore a session...",
        "Restore a session that did not close normally.",
        lambda window: window.show_restorable(),
        enabled=has_restorable_session,
    ),
    _command(
        "file.resnet",
        "Open sample ResNet",
        "Try every step in a minute on a small ResNet for Fashion-MNIST.",
        _sample("resnet"),
        enabled=is_idle,
        line=True,
    ),
    _command(
        "file.vit",
        "Open sample ViT",
        "Prune heads, head dimensions and neurons of a small vision transformer for Fashion-MNIST.",
        _sample("vit"),
        enabled=is_idle,
    ),
    _command(
        "file.data",
        "Attach data...",
        "Choose the data and the metric. The original is evaluated right away.",
        opens("attach_data", "AttachData"),
        "Ctrl+D",
        enabled=_WRITABLE,
        line=True,
    ),
    _command(
        "file.weights",
        "Attach weights...",
        "Load a checkpoint that you trained elsewhere into the current state.",
        opens("checkpoint", "AttachWeights"),
        enabled=all_of(_WRITABLE, has_no_marks),
    ),
    _command(
        "file.checkpoint",
        "Choose checkpoint...",
        "Open an untrained model again with the weights of a checkpoint.",
        opens("checkpoint", "ChooseCheckpoint"),
        enabled=all_of(_WRITABLE, is_untrained),
    ),
    _command(
        "file.pretrained",
        "Download pretrained weights...",
        "Open an untrained model again with the weights of its library. You are asked before a download.",
        opens("checkpoint", "take_pretrained"),
        enabled=all_of(_WRITABLE, is_untrained, has_offer),
    ),
    _command(
        "file.target",
        "Target...",
        "Set where the model will run: runtime, threads, batch size.",
        opens("target", "TargetDialog"),
        "Ctrl+T",
    ),
    _command(
        "file.compare",
        "Compare with file...",
        "Put any other model beside this one: layers, shapes, parameters and MACs.",
        opens("open_model", "ask_to_compare"),
        enabled=all_of(has_model, is_idle),
    ),
    _command(
        "file.save",
        "Save project...",
        "Save every state with its weights, and the recipe, in a folder.",
        opens("project", "SaveProject"),
        "Ctrl+S",
        enabled=_WRITABLE,
        line=True,
    ),
    _command(
        "file.export_onnx",
        "Export ONNX...",
        "Write an ONNX file, run it in a new process and compare its outputs with the model.",
        opens("export", "ExportDialog", "onnx"),
        "Ctrl+E",
        enabled=all_of(_WRITABLE, has_no_marks),
        takes=_export_takes,
        page="export",
        line=True,
    ),
    _command(
        "file.export_pytorch",
        "Export PyTorch...",
        "Write the weights, the shapes and a Python file that loads them without Secateur.",
        opens("export", "ExportDialog", "pytorch"),
        "Ctrl+Shift+E",
        enabled=all_of(_WRITABLE, has_no_marks),
        takes=_export_takes,
        page="export",
    ),
    _command(
        "file.export_recipe",
        "Export recipe...",
        "Write the steps to the current state as JSON, so that you can repeat them.",
        opens("export", "Share", "recipe"),
        enabled=_WRITABLE,
        line=True,
    ),
    _command(
        "file.export_script",
        "Export script...",
        "Write the steps to the current state as a Python script.",
        opens("export", "Share", "script"),
        enabled=_WRITABLE,
    ),
    _command(
        "file.export_report",
        "Export report...",
        "Write the steps and their results to one HTML file.",
        opens("export", "Share", "report"),
        enabled=_WRITABLE,
    ),
    _command(
        "file.share",
        "Share...",
        "Write a small bundle that colleagues can open without your data.",
        opens("export", "Share", "bundle"),
        enabled=_WRITABLE,
        line=True,
    ),
    _command(
        "file.quit",
        "Quit",
        "Close the window.",
        lambda window: window.close(),
        "Ctrl+Q",
        takes=_quit_keeps,
        line=True,
    ),
)

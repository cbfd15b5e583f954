"""Commands that open, save and export."""

from typing import Any

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..jobs.workbench import Workbench
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, opens, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "File")


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


_WRITABLE = preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.is_idle)

FILE = (
    Command(
        "file.open",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open model..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Open your own model from a Python file, torchvision, timm, ONNX or Hugging Face."),
        opens("open_model"),
        "Ctrl+O",
        preconditions.is_idle,
    ),
    Command(
        "file.open_project",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open project..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Open a saved project folder with all its states."),
        opens("project", "ask_folder"),
        "",
        preconditions.is_idle,
    ),
    Command(
        "file.open_bundle",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open bundle..."),
        QT_TRANSLATE_NOOP(CONTEXT, "View a shared bundle: its states, plan and metrics."),
        opens("project", "ask_bundle"),
        "",
        preconditions.is_idle,
    ),
    Command(
        "file.apply_recipe",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Apply recipe to new checkpoint..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Repeat the steps of a recipe on a new version of the model."),
        opens("apply_recipe"),
        "",
        preconditions.is_idle,
        line=True,
    ),
    Command(
        "file.restore",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Restore a session..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Restore a session that did not close normally."),
        lambda window: window.show_restorable(),
        "",
        preconditions.has_restorable_session,
    ),
    Command(
        "file.resnet",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open sample ResNet"),
        QT_TRANSLATE_NOOP(CONTEXT, "Try every step in a minute on a small ResNet for Fashion-MNIST."),
        _sample("resnet"),
        "",
        preconditions.is_idle,
        line=True,
    ),
    Command(
        "file.vit",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open sample ViT"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Prune heads, head dimensions and neurons of a small vision transformer for Fashion-MNIST."
        ),
        _sample("vit"),
        "",
        preconditions.is_idle,
    ),
    Command(
        "file.data",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Attach data..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Choose the data and the metric. The original is evaluated right away."),
        opens("attach_data"),
        "Ctrl+D",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.weights",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Attach weights..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Load a checkpoint that you trained elsewhere into the current state."),
        opens("checkpoint", "ask_for_trained_weights"),
        "",
        preconditions.all_of(_WRITABLE, preconditions.has_no_marks),
    ),
    Command(
        "file.checkpoint",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Choose checkpoint..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Open an untrained model again with the weights of a checkpoint."),
        opens("checkpoint"),
        "",
        preconditions.all_of(_WRITABLE, preconditions.is_untrained),
    ),
    Command(
        "file.pretrained",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Download pretrained weights..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Open an untrained model again with the weights of its library. You are asked before a download."
        ),
        opens("checkpoint", "take_pretrained"),
        "",
        preconditions.all_of(_WRITABLE, preconditions.is_untrained, preconditions.has_offer),
    ),
    Command(
        "file.target",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Target..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Set where the model will run: runtime, threads, batch size."),
        opens("target"),
        "Ctrl+T",
    ),
    Command(
        "file.compare",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Compare with file..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Put any other model beside this one: layers, shapes, parameters and MACs."),
        opens("open_model", "ask_to_compare"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.is_idle),
    ),
    Command(
        "file.save",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Save project..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Save every state with its weights, and the recipe, in a folder."),
        opens("project", "ask_save"),
        "Ctrl+S",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.export_onnx",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export ONNX..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Write an ONNX file, run it in a new process and compare its outputs with the model."
        ),
        opens("export", "ask", "onnx"),
        "Ctrl+E",
        preconditions.all_of(_WRITABLE, preconditions.has_no_marks),
        takes=_export_takes,
        line=True,
    ),
    Command(
        "file.export_pytorch",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export PyTorch..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the weights, the shapes and a Python file that loads them without Secateur."),
        opens("export", "ask", "pytorch"),
        "Ctrl+Shift+E",
        preconditions.all_of(_WRITABLE, preconditions.has_no_marks),
        takes=_export_takes,
    ),
    Command(
        "file.export_recipe",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export recipe..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps to the current state as JSON, so that you can repeat them."),
        opens("export", "ask_to_share", "recipe"),
        "",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.export_script",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export script..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps to the current state as a Python script."),
        opens("export", "ask_to_share", "script"),
        "",
        _WRITABLE,
    ),
    Command(
        "file.export_report",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export report..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps and their results to one HTML file."),
        opens("export", "ask_to_share", "report"),
        "",
        _WRITABLE,
    ),
    Command(
        "file.share",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Share..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write a small bundle that colleagues can open without your data."),
        opens("export", "ask_to_share", "bundle"),
        "",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.quit",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Quit"),
        QT_TRANSLATE_NOOP(CONTEXT, "Close the window."),
        lambda window: window.close(),
        "Ctrl+Q",
        takes=_quit_keeps,
        line=True,
    ),
)

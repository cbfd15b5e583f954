"""Commands that open, save and export."""

from typing import Any

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..jobs.workbench import Workbench
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "File")


def _sample(name: str) -> Any:
    def run(window: WindowApi) -> None:
        from secateur.engine.sources.protocol import ModelSpec

        window.open(ModelSpec(f"bundled:{name}"))

    return run


def _ask_model(window: WindowApi) -> None:
    from ..dialogs.open_model import ask

    ask(window)


def _ask_project(window: WindowApi) -> None:
    from ..dialogs.project import ask_folder

    ask_folder(window)


def _ask_data(window: WindowApi) -> None:
    from ..dialogs.attach_data import ask

    ask(window)


def _ask_target(window: WindowApi) -> None:
    from ..dialogs.target import ask

    ask(window)


def _ask_weights(window: WindowApi) -> None:
    from ..dialogs.attach_weights import ask

    ask(window)


def _ask_checkpoint(window: WindowApi) -> None:
    from ..dialogs.checkpoint import ask

    ask(window)


def _take_pretrained(window: WindowApi) -> None:
    from ..dialogs.checkpoint import take_pretrained

    take_pretrained(window)


def _export(format: str) -> Any:
    def run(window: WindowApi) -> None:
        from ..dialogs.export import ask

        ask(window, format)

    return run


def _export_takes(workbench: Workbench) -> str:
    return workbench.estimator.words("export", workbench.document.contents.present)


def _hand_on(kind: str) -> Any:
    def run(window: WindowApi) -> None:
        from ..dialogs.share import ask

        ask(window, kind)

    return run


def _ask_bundle(window: WindowApi) -> None:
    from ..dialogs.project import ask_bundle

    ask_bundle(window)


def _ask_other(window: WindowApi) -> None:
    from ..dialogs.open_model import ask_to_compare

    ask_to_compare(window)


def _ask_recipe(window: WindowApi) -> None:
    from ..dialogs.apply_recipe import ask

    ask(window)


def _save(window: WindowApi) -> None:
    from ..dialogs.project import ask_save

    ask_save(window)


def _quit(window: WindowApi) -> None:
    window.close()


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
        _ask_model,
        "Ctrl+O",
        preconditions.is_idle,
    ),
    Command(
        "file.open_project",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open project..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Open a saved project folder with all its states."),
        _ask_project,
        "",
        preconditions.is_idle,
    ),
    Command(
        "file.open_bundle",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Open bundle..."),
        QT_TRANSLATE_NOOP(CONTEXT, "View a shared bundle: its states, plan and metrics."),
        _ask_bundle,
        "",
        preconditions.is_idle,
    ),
    Command(
        "file.apply_recipe",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Apply recipe to new checkpoint..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Repeat the steps of a recipe on a new version of the model."),
        _ask_recipe,
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
        _ask_data,
        "Ctrl+D",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.weights",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Attach weights..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Load a checkpoint that you trained elsewhere into the current state."),
        _ask_weights,
        "",
        preconditions.all_of(_WRITABLE, preconditions.has_no_marks),
    ),
    Command(
        "file.checkpoint",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Choose checkpoint..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Open an untrained model again with the weights of a checkpoint."),
        _ask_checkpoint,
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
        _take_pretrained,
        "",
        preconditions.all_of(_WRITABLE, preconditions.is_untrained, preconditions.has_offer),
    ),
    Command(
        "file.target",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Target..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Set where the model will run: runtime, threads, batch size."),
        _ask_target,
        "Ctrl+T",
    ),
    Command(
        "file.compare",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Compare with file..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Put any other model beside this one: layers, shapes, parameters and MACs."),
        _ask_other,
        "",
        preconditions.all_of(preconditions.has_model, preconditions.is_idle),
    ),
    Command(
        "file.save",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Save project..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Save every state with its weights, and the recipe, in a folder."),
        _save,
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
        _export("onnx"),
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
        _export("pytorch"),
        "Ctrl+Shift+E",
        preconditions.all_of(_WRITABLE, preconditions.has_no_marks),
        takes=_export_takes,
    ),
    Command(
        "file.export_recipe",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export recipe..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps to the current state as JSON, so that you can repeat them."),
        _hand_on("recipe"),
        "",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.export_script",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export script..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps to the current state as a Python script."),
        _hand_on("script"),
        "",
        _WRITABLE,
    ),
    Command(
        "file.export_report",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Export report..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write the steps and their results to one HTML file."),
        _hand_on("report"),
        "",
        _WRITABLE,
    ),
    Command(
        "file.share",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Share..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write a small bundle that colleagues can open without your data."),
        _hand_on("bundle"),
        "",
        _WRITABLE,
        line=True,
    ),
    Command(
        "file.quit",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Quit"),
        QT_TRANSLATE_NOOP(CONTEXT, "Close the window."),
        _quit,
        "Ctrl+Q",
        takes=_quit_keeps,
        line=True,
    ),
)

"""Pictures of the window at each step, of every panel and of every dialog, empty and full.

From the root of the clone, `python -m tests.app.screenshots OUT` drives the window on the bundled ResNet, then the ViT.

Each look (light, dark) and scale (1x, 2x) is a process of its own, because a scale holds for a whole process.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

LOOKS = ("light", "dark")
SCALES = (1, 2)
LIMIT = 600.0
"""Seconds that a step may take."""
TURNS = 20
EPOCHS = 1
WITHOUT_A_MODEL = ("About", "Criteria", "Diagnostics", "OpenModel", "CommandPalette", "ShortcutSheet", "TargetDialog")
"""Dialogs that an empty window has."""
TRIALS = 24
"""Cuts on trial that are waited for before the picture of a sensitivity analysis."""


@dataclass(slots=True)
class Photographer:
    """Drives one window and keeps pictures of it.

    Attributes:
        window: The window.
        application: Its application.
        folder: Where pictures go.
        suffix: What stands at the end of their names ("-dark-2x").
    """

    window: Any
    application: Any
    folder: Path
    suffix: str

    def wait(self, condition: Callable[[], object]) -> None:
        """Serve events until something holds and all that is in front shows it."""
        end = time.monotonic() + LIMIT
        while not condition() or self.window.document.dispatcher.busy:
            if time.monotonic() > end:
                raise TimeoutError(self.window.status.word.text())
            self.application.processEvents()
            time.sleep(0.01)

    def rest(self, seconds: float = 0.4) -> None:
        """Let layouts and plots settle: some turns of the event loop, however long each takes."""
        end, turns = time.monotonic() + seconds, itertools.count()
        self.wait(lambda: next(turns) > TURNS and time.monotonic() > end)

    def take(self, name: str, widget: Any = None) -> None:
        """Keep a picture of the window, or of a dialog."""
        self.rest()
        (widget or self.window).grab().save(str(self.folder / f"{name}{self.suffix}.png"))

    def take_panel(self, module: str, name: str) -> None:
        """Keep a picture of a panel with what lies behind it; its page comes to the front."""
        from PySide6.QtCore import QPoint, QRect

        self.window.area.show_tab(module)
        self.rest()
        panel = self.window.area.panels[module]
        picture = self.window.grab(QRect(panel.mapTo(self.window, QPoint()), panel.size()))
        picture.save(str(self.folder / f"{name}{self.suffix}.png"))

    def quiet(self) -> None:
        """Wait until no job runs."""
        self.wait(lambda: not self.window.document.jobs)


def road(camera: Photographer) -> None:
    """Every step once, with a picture of each."""
    window, document = camera.window, camera.window.document
    workbench = camera.window.workbench
    camera.take("01-start")
    panels(camera, "empty")
    dialogs(camera, "empty", WITHOUT_A_MODEL)
    window.open_source("bundled:resnet")
    camera.take("02-opening")
    camera.wait(lambda: document.scores is not None)
    camera.quiet()
    camera.take("03-opened")
    window.run_command("edit.suggest")
    camera.wait(lambda: bool(document.marked.any()))
    _inspect(camera)
    window.area.show_tab("tradeoff")
    camera.take("04-plan")
    window.area.show_tab("heads")
    camera.take("05-no-heads")
    _sensitivity(camera)
    window.show_page("plan")
    camera.take_panel("layers", "05-layers")
    _graph(camera)
    window.area.show_tab("tradeoff")
    workbench.states.cut()
    camera.wait(lambda: not document.busy)
    camera.quiet()
    camera.take("06-cut")
    _recover(camera)
    workbench.states.export("onnx", str(Path(tempfile.mkdtemp()) / "resnet.onnx"))
    camera.quiet()
    camera.take("09-exported")
    window.area.show_tab("history")
    _compare(camera)
    camera.take("10-history")
    window.area.show_tab("recipe")
    camera.take("10-recipe")
    _inspect(camera)
    panels(camera, "full")
    dialogs(camera, "full")
    _error(camera)
    _larger(camera)
    window.resize(1024, 700)
    camera.take("15-small")
    _heads(camera)
    _bundle(camera)


def aids(camera: Photographer) -> None:
    """What helps along the road: the tour, a receipt, a comparison with a file, preferences, high contrast."""
    from secateur.app.dialogs.compare_models import CompareModels
    from secateur.app.dialogs.preferences import Preferences
    from secateur.app.theme import Scheme, theme
    from secateur.engine.sources.protocol import ModelSpec

    window, document, workbench = camera.window, camera.window.document, camera.window.workbench
    window.show_tour()
    window.open_source("bundled:resnet")
    camera.wait(lambda: document.scores is not None)
    camera.quiet()
    _inspect(camera)
    camera.take("20-tour")
    window.tour.stop.click()
    window.run_command("edit.suggest")
    camera.wait(lambda: bool(document.marked.any()))
    window.show_page("look")
    camera.wait(lambda: window.area.panels["graph"].model.layout is not None)
    scheme = theme().scheme
    theme().choose(Scheme.CONTRAST)
    camera.take("21-contrast")
    theme().choose(scheme)
    workbench.states.cut()
    camera.wait(lambda: not document.busy)
    camera.quiet()
    window.area.show_tab("history")
    workbench.states.export("onnx", str(Path.home() / "resnet.onnx"))
    camera.quiet()
    camera.take("22-receipt", window.receipt)
    workbench.others.compare(ModelSpec("bundled:resnet"))
    camera.wait(lambda: window.findChildren(CompareModels))
    (found,) = window.findChildren(CompareModels)
    camera.take("23-compare-file", found)
    found.close()
    dialog = Preferences(window)
    dialog.show()
    camera.take("24-preferences", dialog)
    dialog.close()


def changes(camera: Photographer) -> None:
    """What got worse by a cut: nothing yet, then classes, confusions, samples and calibration, large and small."""
    window, document, workbench = camera.window, camera.window.document, camera.window.workbench
    window.open_source("bundled:resnet")
    camera.wait(lambda: document.scores is not None)
    camera.quiet()
    window.area.show_tab("changes")
    camera.take("30-changes-empty")
    workbench.plan.suggest()
    camera.wait(lambda: bool(document.marked.any()))
    workbench.states.cut()
    camera.wait(lambda: not document.busy)
    window.area.show_tab("changes")
    camera.quiet()
    panel = window.area.panels["changes"]
    camera.wait(lambda: panel.table.isVisible())
    for size, name in (((1440, 900), "large"), ((1024, 700), "small")):
        window.resize(*size)
        for page, chip in panel.pages.items():
            chip.click()
            camera.quiet()
            camera.take(f"31-changes-{page}-{name}")


def pages(camera: Photographer) -> None:
    """Each page of a model that was cut and recovered."""
    window, document, workbench = camera.window, camera.window.document, camera.window.workbench
    window.open_source("bundled:resnet")
    camera.wait(lambda: document.scores is not None)
    camera.quiet()
    workbench.plan.suggest()
    camera.wait(lambda: bool(document.marked.any()))
    _inspect(camera)
    for page in ("look", "plan"):
        window.show_page(page)
        camera.take(f"40-{page}")
    workbench.states.cut()
    camera.wait(lambda: not document.busy)
    workbench.states.recover(replace(document.recovery, epochs=EPOCHS))
    camera.wait(lambda: not document.busy)
    camera.quiet()
    for page in ("recover", "judge", "export", "all"):
        window.show_page(page)
        camera.quiet()
        camera.take(f"40-{page}")


CHAPTERS = {"road": road, "aids": aids, "changes": changes, "pages": pages}
"""What pictures are taken of, by name."""


def _bundle(camera: Photographer) -> None:
    """A session as it looks where neither model nor data are."""
    window, document = camera.window, camera.window.document
    workbench = camera.window.workbench
    path = str(Path(tempfile.mkdtemp()) / "shared.zip")
    workbench.sharing.write("bundle", path)
    camera.quiet()
    window.open_source(path)
    camera.wait(lambda: bool(document.absent))
    camera.quiet()
    camera.take("19-bundle")


def _compare(camera: Photographer) -> None:
    """A second branch, the two of them side by side, and all runs."""
    window, document = camera.window, camera.window.document
    here = document.contents.present
    document.plan.go_to(document.original.id)
    number = next(n for n, one in enumerate(document.analysis.sets) if one.count > 8)
    document.plan.keep(number, document.analysis.sets[number].count // 2)
    document.compare(side_of(here), None)
    panel = window.area.panels["compare"]
    panel.trees.left.expand(panel.model.index(1, 0))
    camera.take_panel("compare", "10-compare")
    panel.pages["runs"].click()
    camera.take("10-runs")
    panel.pages["models"].click()
    document.plan.go_to(here)


def side_of(state: str) -> Any:
    """A state as a side of a comparison."""
    from secateur.app.document.aspects import Side

    return Side(state)


def _sensitivity(camera: Photographer) -> None:
    """Before it is measured, while it is, and with a point chosen after it was stopped."""
    window, document = camera.window, camera.window.document
    workbench = camera.window.workbench
    window.area.show_tab("sensitivity")
    camera.take("05-sensitivity-empty")
    workbench.sensitivity.start()
    camera.wait(lambda: document.curves is not None and document.curves.tried >= TRIALS)
    camera.take("05-sensitivity-running")
    for job in document.jobs:
        workbench.runner.cancel(job.id)
    camera.quiet()
    panel = window.area.panels["sensitivity"]
    panel.plot.point_at((0, 4))
    camera.take_panel("sensitivity", "05-sensitivity")


def _heads(camera: Photographer) -> None:
    """The other sample has heads."""
    window, document = camera.window, camera.window.document
    window.open_source("bundled:vit")
    camera.wait(lambda: "ViT" in document.model_name and document.scores is not None)
    camera.quiet()
    window.area.show_tab("heads")
    rows = window.area.panels["heads"].model.rows
    document.plan.mark([rows[0].first, rows[2].first + 3], True)
    document.plan.lock([rows[1].first + 1], True)
    camera.take("17-heads")
    camera.take("panel-heads-vit", window.area.panels["heads"])
    window.area.show_tab("layers")
    camera.take("18-layers-vit")
    _graph(camera, "-vit")


def _graph(camera: Photographer, suffix: str = "") -> None:
    """The graph as it opens, and unfolded with a layer selected."""
    from secateur.app.document.aspects import Selection

    document, panel = camera.window.document, camera.window.area.panels["graph"]
    camera.window.area.show_tab("graph")
    camera.wait(lambda: panel.model.layout is not None)
    camera.take(f"05-graph{suffix}")
    panel.unfold_all()
    camera.wait(lambda: len(panel.model.boxes.folded) == 0)
    document.select(Selection(document.analysis.sets[0].module, 0))
    camera.take(f"panel-graph{suffix}", panel)


def _inspect(camera: Photographer) -> None:
    from secateur.app.document.aspects import Selection

    document = camera.window.document
    number = max(n for n, one in enumerate(document.analysis.sets) if one.count > 8)
    one = document.analysis.sets[number]
    document.select(Selection(one.module, number, one.first))


def _recover(camera: Photographer) -> None:
    window, document = camera.window, camera.window.document
    workbench = camera.window.workbench
    workbench.states.recover(replace(document.recovery, epochs=EPOCHS))
    camera.wait(lambda: len(document.curve) > 20 or not document.busy)
    window.show_page("recover")
    camera.take_panel("recovery", "07-recovering")
    workbench.states.evaluate()
    workbench.states.measure()
    window.area.show_tab("jobs")
    camera.take("07-queue")
    camera.wait(lambda: not document.busy)
    camera.quiet()
    window.area.show_tab("recovery")
    camera.take_panel("tradeoff", "08-tradeoff")
    window.show_page("judge")
    window.area.show_tab("tradeoff")
    camera.take("08-recovered")


def panels(camera: Photographer, state: str) -> None:
    """Every panel by itself, as it is now."""
    window = camera.window
    front = window.pages.currentWidget()
    window.pages.setCurrentWidget(window.area)
    for module in window.area.panels:
        camera.take_panel(module, f"panel-{module}-{state}")
    window.pages.setCurrentWidget(front)


def dialogs(camera: Photographer, state: str, names: Sequence[str] = ()) -> None:
    """Every dialog, or those of these names."""
    from .dialog_gallery import dialog_kinds, make

    for name, kind in dialog_kinds().items():
        if not names or name in names:
            dialog = make(kind, camera.window)
            dialog.show()
            camera.take(f"dialog-{name}-{state}", dialog)
            dialog.close()


def _error(camera: Photographer) -> None:
    window = camera.window
    window.errors.show_error("net.pt has other shapes than the model: 3 keys, first fc.weight.", "fc.weight: [10, 64]")
    camera.take("16-error")
    window.errors.hide()


def _larger(camera: Photographer) -> None:
    """All of it with the largest text."""
    from secateur.app.theme import theme
    from secateur.app.theme.design_tokens import LARGEST, Sizes

    theme().resize(LARGEST)
    camera.take("19-largest-text")
    theme().resize(Sizes().body)


def photograph(folder: Path, look: str, scale: int, chapters: Sequence[str]) -> None:
    """Chapters, one after the other, in this process."""
    from secateur.app import theme
    from secateur.app.startup.application import make_application, make_window

    kept = Path(tempfile.gettempdir()) / "secateur-pictures"  # pictures show it
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    os.environ.update(
        {f"XDG_{kind}_HOME": f"{kept}/{kind.lower()}" for kind in ("DATA", "CACHE", "CONFIG")}, HOME=str(kept)
    )
    application = make_application()
    theme.apply(application, look)
    window = make_window()
    window.resize(1440, 900)
    window.show()
    camera = Photographer(window, application, folder, f"-{look}-{scale}x")
    try:
        camera.wait(lambda: window.area is not None)
        for chapter in chapters:
            CHAPTERS[chapter](camera)
    finally:
        window.close()


def main() -> int:
    """All looks at all scales, each in its own process; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes pictures of the window at each step.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--look", choices=LOOKS)
    parser.add_argument("--scale", type=int, choices=SCALES)
    parser.add_argument("--chapter", choices=CHAPTERS, action="append", help="only this one; both by default")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    chapters = arguments.chapter or [*CHAPTERS]
    if arguments.look and arguments.scale:
        os.environ["QT_SCALE_FACTOR"] = str(arguments.scale)
        photograph(arguments.folder, arguments.look, arguments.scale, chapters)
        return 0
    looks = [arguments.look] if arguments.look else LOOKS
    scales = [arguments.scale] if arguments.scale else SCALES
    return max(_elsewhere(arguments.folder, look, scale, chapters) for look in looks for scale in scales)


def _elsewhere(folder: Path, look: str, scale: int, chapters: Sequence[str]) -> int:
    chosen = [word for chapter in chapters for word in ("--chapter", chapter)]
    command = [
        sys.executable,
        "-m",
        "tests.app.screenshots",
        str(folder),
        "--look",
        look,
        "--scale",
        str(scale),
        *chosen,
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

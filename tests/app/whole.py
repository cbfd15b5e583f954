"""The whole window on a played document: a model with states behind it, marks, a curve and jobs; or nothing at all."""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from secateur.app.document.aspects import Selection
from secateur.app.document.document import ALL
from secateur.app.document.job_state import CurvePoint, JobView
from secateur.app.theme import Scheme, Sizes, apply
from secateur.app.window.main_window import MainWindow
from secateur.engine.structures.analysis import Analysis
from tests.app.stand_in import StandIn, travelled
from tests.app.turns import settle

JOBS = (
    JobView(1, "Recover, 8 epochs", "epoch 3 of 8", 412, 1100, 80.0, 130.0, method="recover"),
    JobView(2, "Measure on the target", "", 0, 0, 0.0, 12.0, place=1, later=True, rough=True),
    JobView(3, "Evaluate s1", "", 0, 0, 0.0, -1.0, place=2, earlier=True),
)


def full(analysis: Analysis | None = None) -> StandIn:
    """A document that every panel has something to show of."""
    document = travelled(analysis)
    document.plan.mark(np.arange(45, 55), True)
    document.plan.lock([60], True)
    document.jobs = JOBS
    document.contents.training.points = [CurvePoint(n, 2.0 / (1 + n), 0.4 + 0.01 * n) for n in range(40)]
    document.note("SourceModel net")
    assert document.analysis is not None
    chosen = document.analysis.sets[2]
    document.select(Selection(chosen.module, 2, chosen.first + 3))
    return document


@contextmanager
def own_home(folders: pytest.TempPathFactory) -> Generator[None]:
    """Settings and data of a window that several tests share: those of a test end with it."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "CONFIG", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(folders.mktemp(kind.lower())))
        yield


@contextmanager
def window_of(
    document: StandIn, qtbot, size: tuple[int, int] = (1440, 900), page: str = "all"
) -> Generator[MainWindow]:
    """The window with a page in front; with "" the one that was left in front, else the first."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply(app, Scheme.LIGHT, Sizes().body)
    window = MainWindow(document.workbench)

    def quiet(_window: object = None) -> None:
        document.jobs = ()  # closing asks nothing

    qtbot.addWidget(window, before_close_func=quiet)
    window.resize(*size)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    document.announce(*ALL)
    if document.analysis is not None:
        qtbot.waitUntil(window.area.isVisible)
    if page:
        window.show_page(page)
    settle(qtbot, document)
    try:
        yield window
    finally:
        quiet()
        window.close()

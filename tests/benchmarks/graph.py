"""How quick the graph is: `python -m tests.benchmarks.graph`.

First the layout of each model with its blocks as they are at first and all unfolded: milliseconds of laying out in its
thread, of them the longest that the interface's thread had to wait (bar: 50 ms). Then frames of a graph with more than
1,000 boxes, all unfolded: panning at a scale at which names are read, panning and zooming with all boxes in sight,
another plan, another selection (bar: a 60 Hz frame in the median, 50 ms at worst). `--frames` leaves the layouts out.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any

FRAME, WORST = 1000 / 60, 50.0
"""Bars in milliseconds."""
MODELS = ("resnet50", "vit_b_16", "densenet201")
STEPS = 120
"""Frames of each kind."""


def residual_chain(layers: int = 1000) -> Any:
    """A model of so many layers, a residual connection around every third one, in no blocks."""
    from torch import nn

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for number in range(layers):
                self.add_module(f"layer{number}", nn.Linear(8, 8))

        def forward(self, x: Any) -> Any:
            kept = x
            for number, layer in enumerate(self.children()):
                x = layer(x).relu()
                if number % 3 == 2:
                    x = kept = x + kept
            return x

    return Chain()


def analysed(name: str) -> Any:
    """The analysis of a model of torchvision, or of the chain; weights do not matter."""
    import torch
    import torchvision

    from secateur.engine import analyse

    if name == "chain":
        return analyse(residual_chain().eval(), (torch.randn(2, 8),), name)
    return analyse(getattr(torchvision.models, name)(weights=None).eval(), (torch.randn(2, 3, 224, 224),), name)


class Pulse:
    """The longest time for which another thread got no turn, while it holds."""

    def __enter__(self) -> "Pulse":
        self.longest, self._stopped = 0.0, False
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped = True
        self._thread.join()

    def _beat(self) -> None:
        before = time.perf_counter()
        while not self._stopped:
            time.sleep(0.001)
            now = time.perf_counter()
            self.longest, before = max(self.longest, now - before), now


def layouts(name: str, analysis: Any) -> list[dict[str, Any]]:
    """Times of the layouts of a model, the best of three."""
    from secateur.app.panels.graph.boxes import blocks_of, boxes_of
    from secateur.app.panels.graph.layout import lay_out
    from secateur.app.panels.graph.model import ties_between
    from secateur.app.panels.layers.rows import layers_of
    from secateur.app.panels.tree.rows import rows_of

    blocks, layers, rows = blocks_of(analysis.graph), layers_of(analysis, rows_of(analysis)), []
    for what, folded in (("at first", blocks.folded_at_first()), ("unfolded", frozenset[int]())):
        times: list[tuple[float, float, int]] = []
        for _ in range(3):
            with Pulse() as pulse:
                begun = time.perf_counter()
                boxes = boxes_of(blocks, folded)
                lay_out(boxes, ties_between(boxes, layers))
                took = time.perf_counter() - begun
            times.append((1e3 * took, 1e3 * pulse.longest, len(boxes)))
        best = min(times)
        rows.append({"model": name, "blocks": what, "boxes": best[2], "ms": best[0], "longest wait": best[1]})
    return rows


class Frames:
    """One panel on a screen, all blocks unfolded, and how long a frame of it takes.

    Attributes:
        times: Milliseconds by what was done: by the clock, and of computing in this thread.
        boxes: How many there are.
    """

    def __init__(self, analysis: Any) -> None:
        """Open the panel without an engine."""
        from secateur.app import theme
        from secateur.app.panels.graph import GraphPanel
        from secateur.app.startup.application import make_application
        from tests.app.stand_in import opened

        self.application = make_application()
        theme.apply(self.application, theme.Scheme.LIGHT)
        self.document = opened(analysis)
        self.panel = GraphPanel(self.document.workbench)
        self.panel.resize(900, 700)
        self.panel.show()
        self.panel.unfold_all()
        self.document.workbench.layouts.flush()
        self.application.processEvents()
        self.boxes = self.panel.model.rowCount()
        self.times: dict[str, list[tuple[float, float]]] = {}

    def timed(self, what: str, act: Callable[[], Any]) -> None:
        """Do something and have it painted."""
        begun, computed = time.perf_counter(), time.thread_time()
        act()
        self.panel.view.viewport().repaint()
        took = time.perf_counter() - begun, time.thread_time() - computed
        self.times.setdefault(what, []).append((1e3 * took[0], 1e3 * took[1]))

    def run(self) -> None:
        """All of it."""
        from secateur.app.document.aspects import Selection

        view, document = self.panel.view, self.document
        bar = view.verticalScrollBar()
        for what, factor in (("pan, names read", 0.0), ("pan, a tenth in sight", 10.0), ("pan, all in sight", 1.0)):
            if factor:
                view.fit()
                view._zoom_to(view.scale * factor)
            else:
                view._zoom_to(0.8)
            self.timed("first frame", lambda: None)
            for step in range(STEPS):
                place = step * bar.maximum() // STEPS
                self.timed(what, lambda place=place: bar.setValue(place))
        for step in range(STEPS):
            self.timed("zoom", view.zoom_in if step < STEPS // 2 else view.zoom_out)
        view.fit()
        layers = self.panel.model.layers.layers
        for number in range(0, len(layers.modules), max(1, len(layers.modules) // STEPS)):
            one = Selection(layers.modules[number], int(layers.sets[number]))
            self.timed("select", lambda one=one: document.select(one))
        self.panel.close()
        document.workbench.close()


def main() -> int:
    """Measure and print; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Measures layouts and frames of the graph.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--frames", action="store_true", help="frames only")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    place = tempfile.mkdtemp()
    os.environ.update(XDG_DATA_HOME=f"{place}/data", XDG_CONFIG_HOME=f"{place}/config")
    chain = analysed("chain")
    given = {} if arguments.frames else {name: analysed(name) for name in MODELS} | {"chain": chain}
    laid = [row for name, analysis in given.items() for row in layouts(name, analysis)]
    frames = Frames(chain)
    frames.run()
    shown = {what: _summary(times) for what, times in frames.times.items()}
    missed = [row["model"] for row in laid if row["longest wait"] > WORST]
    missed += [what for what, row in shown.items() if row["computed"] > FRAME or row["computed worst"] > WORST]
    if arguments.json:
        told = {"layouts": laid, "boxes": frames.boxes, "frames": shown, "missed": missed}
        sys.stdout.write(json.dumps(told) + "\n")
        return int(bool(missed))
    for row in laid:
        sys.stdout.write(f"{row['model']:12} {row['blocks']:9} {row['boxes']:6} boxes {row['ms']:8.1f} ms")
        sys.stdout.write(f"  longest wait {row['longest wait']:6.1f} ms (bar {WORST:.0f} ms)\n")
    sys.stdout.write(f"frames of {frames.boxes:,} boxes, milliseconds (bars {FRAME:.1f}, {WORST:.0f})\n")
    sys.stdout.write(f"{'':22}{'median':>9}{'worst':>9}{'computed':>10}{'at worst':>9}{'n':>5}\n")
    for what, row in shown.items():
        numbers = "".join(f"{row[name]:9.1f}" for name in ("median", "worst", "computed", "computed worst"))
        sys.stdout.write(f"{what:22}{numbers}{row['n']:6.0f}\n")
    sys.stdout.write(f"missed: {', '.join(missed) or 'none'}\n")
    return int(bool(missed))


def _summary(times: list[tuple[float, float]]) -> dict[str, float]:
    """Median and worst by the clock and of computing: where these differ much, another program had the processor."""
    clock, computed = [one for one, _ in times], [one for _, one in times]
    found = {"median": median(clock), "worst": max(clock), "computed": median(computed)}
    return {**found, "computed worst": max(computed), "n": len(times)}


if __name__ == "__main__":
    sys.exit(main())

"""How quick the tree is on Llama-2-7B's shape: `python -m tests.benchmarks.tree`.

350,000 structures, the analysis made on meta tensors. Prints the median and the worst of: first rows after the analysis
is there (bar: 100 ms), a step of scrolling with its paint (a 60 Hz frame in the median, 50 ms at worst), a change of
scores with its paint (the same), marking all, and filtering (200 ms); then the same of the tables of layers and heads.
Only one panel is shown; `heartbeat` has the window.
"""

import argparse
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

FRAME, WORST, FIRST, ACT = 1000 / 60, 50.0, 100.0, 200.0
"""Bars in milliseconds."""
STEPS = 200
"""Steps of scrolling."""


def llama(layers: int = 32) -> Any:
    """The analysis of Llama-2-7B's shape, made on meta tensors."""
    import torch
    import transformers

    from secateur.engine.structures.analyse import analyse

    sizes: dict[str, Any] = {
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
    }
    with torch.device("meta"):
        config = transformers.LlamaConfig(**sizes, num_hidden_layers=layers)
        model = transformers.LlamaForCausalLM(config).eval()
    return analyse(model, {"input_ids": torch.randint(0, 32, (2, 64)), "use_cache": False})


def kept(folder: Path) -> Any:
    """The analysis, made once and kept in a folder of this machine."""
    file = folder / "llama-2-7b.pickle"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(llama()))
    return pickle.loads(file.read_bytes())


class Bench:
    """One tree panel on a screen, and how long it takes for what.

    Attributes:
        times: Milliseconds by what was done: by the clock, and of computing in this process.
    """

    def __init__(self, analysis: Any) -> None:
        """Open a window without an engine."""
        from secateur.app import theme
        from secateur.app.panels.tree import TreePanel
        from secateur.app.startup.application import make_application
        from tests.app.stand_in import StandIn

        self.application = make_application()
        theme.apply(self.application, theme.Scheme.LIGHT)
        self.analysis, self.document = analysis, StandIn()
        self.panel = TreePanel(self.document)
        self.panel.resize(440, 760)
        self.panel.show()
        self.application.processEvents()
        self.times: dict[str, list[tuple[float, float]]] = {}

    def timed(self, what: str, act: Callable[[], Any]) -> None:
        """Do something and have it painted."""
        begun, computed = time.perf_counter(), time.process_time()
        act()
        self.application.processEvents()
        took = time.perf_counter() - begun, time.process_time() - computed
        self.times.setdefault(what, []).append((1e3 * took[0], 1e3 * took[1]))

    def run(self) -> None:
        """All of it."""
        import numpy as np

        from secateur.engine.session.states import OpenedModel, StateKind
        from secateur.engine.sources.protocol import ModelSpec
        from tests.app.stand_in import state_of

        analysis, document, view = self.analysis, self.document, self.panel.view
        state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty())
        opened = OpenedModel(analysis.model, analysis, state, (), None)
        self.timed("first rows", lambda: document.adopt(opened, ModelSpec("llama")))
        draw = np.random.default_rng(0)
        ratings = [draw.random(analysis.count) for _ in range(12)]
        for scores in ratings:
            self.timed("re-colour", lambda scores=scores: document.take_scores("s0", document.criterion, scores))
        self._open(max(range(len(analysis.sets)), key=lambda n: analysis.sets[n].count))
        for scores in ratings:
            self.timed("re-colour, opened", lambda scores=scores: document.take_scores("s0", "l1", scores))
        bar = view.verticalScrollBar()
        for step in range(STEPS):
            place = int(bar.maximum() * draw.random()) if step % 4 == 0 else bar.value() + 66
            self.timed("scroll", lambda place=place: bar.setValue(place))
        every = analysis.empty()
        for one in analysis.sets:
            every[one.first + 1 : one.first + one.count] = True
        for _ in range(5):
            self.timed("mark all", lambda: document.plan.mark(every, True))
            self.timed("spare all", lambda: document.plan.mark(every, False))
        for _ in range(3):
            for text in ("layers.3", "neuron", "score < 0.1", "marked", "layers.*.mlp.*", "score 0.2..0.3 head", ""):
                self.timed("filter", lambda text=text: self._filter(text))
        for _ in range(3):
            self.timed("sort", lambda: self.panel.model.sort(2))
            self.timed("sort", lambda: self.panel.model.sort(0))
        self.panel.close()
        self._tables(draw.random(analysis.count))

    def _tables(self, scores: Any) -> None:
        """The same gestures in the tables of layers and heads."""
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        from secateur.app.panels.heads import HeadsPanel
        from secateur.app.panels.layers import LayersPanel
        from tests.app.stand_in import opened

        for name, kind in (("layers", LayersPanel), ("heads", HeadsPanel)):
            document = opened(self.analysis)  # that no other panel watches
            document.set_criterion("l1")
            panel = kind(document)
            panel.resize(720, 460)
            panel.show()
            self.application.processEvents()
            for turn in range(8):
                rated = scores * (1 - turn / 10)
                self.timed(f"{name}: re-colour", lambda of=document, rated=rated: of.take_scores("s0", "l1", rated))
            bar = panel.view.verticalScrollBar()
            for step in range(STEPS):
                place = (step * 66) % max(bar.maximum(), 1)
                self.timed(f"{name}: scroll", lambda place=place, bar=bar: bar.setValue(place))
            for _ in range(30):
                self.timed(f"{name}: key", lambda panel=panel: QTest.keyClick(panel.view, Qt.Key.Key_Down))
            panel.close()

    def _open(self, number: int) -> None:
        from secateur.app.document.aspects import Selection

        one = self.analysis.sets[number]
        self.document.select(Selection(one.module, number, one.first))
        self.application.processEvents()

    def _filter(self, text: str) -> None:
        self.panel.search.setText(text)
        self.panel.filter()


BARS = {
    "first rows": (FIRST, FIRST),
    "re-colour": (FRAME, WORST),
    "re-colour, opened": (FRAME, WORST),
    "scroll": (FRAME, WORST),
    "mark all": (ACT, ACT),
    "spare all": (ACT, ACT),
    "filter": (ACT, ACT),
    "sort": (ACT, ACT),
    **{f"{table}: {act}": (FRAME, WORST) for table in ("layers", "heads") for act in ("re-colour", "scroll", "key")},
}


def main() -> int:
    """Measure and print; 1 where a bar is missed by what was computed."""
    parser = argparse.ArgumentParser(description="Measures the tree on Llama-2-7B's shape.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder that keeps the analysis for the next run")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    place = tempfile.mkdtemp()
    os.environ.update(XDG_DATA_HOME=f"{place}/data", XDG_CONFIG_HOME=f"{place}/config")
    analysis = kept(arguments.keep) if arguments.keep else llama()
    bench = Bench(analysis)
    bench.run()
    rows = {what: _summary(times) for what, times in bench.times.items()}
    missed = [what for what in rows if _verdict(what, rows[what]) == "MISSED"]
    if arguments.json:
        sys.stdout.write(json.dumps({"structures": analysis.count, "ms": rows, "missed": missed}) + "\n")
        return int(bool(missed))
    sys.stdout.write(f"{analysis.count:,} structures in {len(analysis.sets)} coupled sets, milliseconds\n")
    sys.stdout.write(f"{'':20}{'median':>9}{'worst':>9}{'computed':>10}{'at worst':>9}{'n':>5}\n")
    for what, row in rows.items():
        numbers = "".join(f"{row[name]:9.1f}" for name in ("median", "worst", "computed", "computed worst"))
        sys.stdout.write(f"{what:20}{numbers}{row['n']:6.0f}  {_verdict(what, row)}\n")
    return int(bool(missed))


def _verdict(what: str, row: dict[str, float]) -> str:
    """Whether the bars hold: by the clock, else by what was computed while the machine was busy with something else."""
    middle, worst = BARS[what]
    if row["median"] <= middle and row["worst"] <= worst:
        return "ok"
    return "ok, busy machine" if row["computed"] <= middle and row["computed worst"] <= worst else "MISSED"


def _summary(times: list[tuple[float, float]]) -> dict[str, float]:
    """Median and worst by the clock and of computing: where these differ much, another program had the processor."""
    clock, computed = [one for one, _ in times], [one for _, one in times]
    found = {"median": median(clock), "worst": max(clock), "computed": median(computed)}
    return {**found, "computed worst": max(computed), "n": len(times)}


if __name__ == "__main__":
    sys.exit(main())

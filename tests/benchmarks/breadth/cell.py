"""One model, in a process of its own: analysed, cut to half of everything, verified, exported; one line of JSON.

`python -m tests.benchmarks.breadth.cell SET NAME [--no-onnx | --own-class | --only-onnx]`
"""

import json
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from secateur.engine.errors import SecateurError
from secateur.engine.export.write_onnx import export_onnx_here
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.surgery.repair.keep_class import keep_own_class
from secateur.engine.surgery.verify.run_comparison import worst_difference
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.isolated_forward import quiet_forward
from secateur.engine.tracing.tree import call, tensors_of

from .subject import Subject

NEVER = NeverCancelled()
PARITY = 1e-4


class Cell:
    """The stages of one model; `result` holds what is known so far, so that a failure leaves the rest.

    Its `seconds` are CPU time, at one thread.
    """

    def __init__(self, subject: Subject) -> None:
        """Build the model."""
        self.result: dict[str, Any] = {"seconds": {}}
        self.parameters = 0
        torch.manual_seed(0)
        self.subject = subject
        self.model = self._timed("build", subject.make).eval()
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.inputs = subject.inputs()

    def run_own(self) -> None:
        """Only what plans for the model's own class give."""
        self._own(self._analysed())

    def run_onnx(self) -> None:
        """Only the export of the model without half of everything."""
        analysis = self._analysed()
        made = cut(self.model, analysis, halves(analysis)[0], self.inputs)
        self._onnx(made.model)

    def _analysed(self) -> Analysis:
        outputs = self.subject.outputs
        return self._timed("analyse", lambda: finish(settle(self.model, self.inputs, name="", outputs=outputs)))

    def run(self, onnx: bool) -> None:
        """All stages, the export to ONNX if asked."""
        analysis = self._analysed()
        self.result |= described(analysis)
        widths, depth = halves(analysis)
        smaller = self._cut_and_verify(analysis, widths, "widths")
        if depth.any():
            self._cut_and_verify(analysis, depth, "depth")
        if {self.result.get("repairs widths"), self.result.get("repairs depth")} & {"attention", "literals"}:
            self._own(analysis)
        afterwards = self.subject.afterwards
        if afterwards is not None and smaller is not None:
            self._timed("afterwards", lambda: afterwards(smaller))
        if onnx and smaller is not None:
            self._onnx(smaller)

    def _cut_and_verify(self, analysis: Analysis, mask: Mask, what: str) -> nn.Module | None:
        if not mask.any():
            return None
        made = self._timed(f"cut {what}", lambda: cut(self.model, analysis, mask, self.inputs))
        counted = costs(analysis, mask).parameters
        actual = sum(p.numel() for p in made.model.parameters())
        if counted != actual:
            raise ValueError(f"{counted} parameters were predicted, the cut model has {actual}")
        self.result[f"removed {what}"] = 1 - actual / max(1, self.parameters)
        self.result[f"repairs {what}"] = repairs(made.edits)
        done = self._timed(
            f"verify {what}",
            lambda: finish(
                verify(self.model, made.model, analysis, mask, self.inputs, factors=made.factors, edits=made.edits)
            ),
        )
        self.result[f"verified {what}"] = done.passed
        self.result[f"difference {what}"] = done.difference
        if not done.passed:
            self.result[f"failed {what}"] = "; ".join(
                f"{c.name}: {c.difference:.1e} effect {c.effect} {c.detail}" for c in done.checks
            )
        return made.model

    def _own(self, analysis: Analysis) -> None:
        """Half of what plans leave that need no replaced number and no replaced forward."""

        def halved() -> None:
            narrowed = finish(keep_own_class(self.model, analysis, self.inputs, NEVER))
            for mask, what in zip(halves(narrowed), ("own widths", "own depth"), strict=True):
                self._cut_and_verify(narrowed, mask, what)

        try:
            self._timed("own class", halved)
        except SecateurError as error:
            self.result["no own class"] = str(error)

    def _onnx(self, smaller: nn.Module) -> None:
        def exported() -> None:
            self.result["onnx"] = parity(smaller, self.inputs)

        try:
            self._timed("onnx", exported)
        except Exception as error:
            try:
                parity(self.model, self.inputs)
                self.result["onnx"] = f"failed: {_line(error)}"
            except Exception as unpruned:
                self.result["onnx"] = f"unpruned does not export: {_line(unpruned)}"

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        self.result["stage"] = stage
        start = time.process_time()
        made = work()
        self.result["seconds"][stage] = round(time.process_time() - start, 3)
        return made


def halves(analysis: Analysis) -> tuple[Mask, Mask]:
    """Half of every coupled set, spread over it; and every second block, outer ones first."""
    widths, depth = analysis.empty(), analysis.empty()
    blocks = [s for s in analysis.sets if s.kind is Kind.BLOCK]
    for one in analysis.sets:
        if one.kind is not Kind.BLOCK:
            widths[one.first + np.arange(one.count // 2) * 2] = True
    for number, one in enumerate(blocks):
        depth[one.first] = number % 2 == 0
    return balanced(analysis, widths), depth


def described(analysis: Analysis) -> dict[str, Any]:
    """Free share of the parameters, and what is fixed by what."""
    held = np.zeros(int(analysis.axis_start[-1]), dtype=np.bool_)
    held[analysis.member_position] = True
    total, free = 0, 0.0
    why: Counter[str] = Counter()
    for number, tensor in enumerate(analysis.tensors):
        if not tensor.parameter:
            continue
        size, stay = int(np.prod(tensor.shape)), 1.0
        for axis in tensor.axes:
            if axis >= 0:
                stay *= 1 - float(held[analysis.axis_start[axis] : analysis.axis_start[axis + 1]].mean())
        total, free = total + size, free + size * (1 - stay)
        if stay == 1.0:
            reasons = [f.reason for f in analysis.fixed if f.tensor == number]
            for words in {" ".join([r.code, *map(str, r.arguments.values())]) for r in reasons} or {"?"}:
                why[words] += size
    return {
        "parameters": total,
        "free": free / max(1, total),
        "structures": analysis.count,
        "sets": len(analysis.sets),
        "kinds": dict(Counter(str(s.kind) for s in analysis.sets)),
        "fixed": {code: round(size / max(1, total), 4) for code, size in why.most_common(6)},
    }


def repairs(edits: Edits) -> str:
    """The strongest kind of repair that a cut needed."""
    if edits.literals:
        return "literals"
    if edits.attention:
        return "attention"
    if edits.weights:
        return "weights"
    return "attributes" if edits.attributes else "none"


def parity(model: nn.Module, inputs: Any) -> float:
    """Worst difference between the model and its ONNX file in onnxruntime."""
    import onnxruntime

    with quiet_forward(model):
        expected = tensors_of(call(model, inputs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx_here(model, inputs, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        given = [t.numpy() for t in tensors_of(inputs)]
        found = [torch.from_numpy(np.asarray(a)) for a in session.run(None, dict(zip(names, given, strict=True)))]
    difference = worst_difference(expected, found)
    if difference > PARITY:
        raise ValueError(f"onnxruntime differs by {difference:.1e}")
    return difference


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def main() -> None:
    """Print the result as JSON, the error with the stage in which it occurred included."""
    torch.set_num_threads(1)
    own, name = sys.argv[1:3]
    result: dict[str, Any] = {}
    cell: Cell | None = None
    try:
        cell = Cell(import_module(f".{own}", __package__).subject(name))
        if "--own-class" in sys.argv:
            cell.run_own()
        elif "--only-onnx" in sys.argv:
            cell.run_onnx()
        else:
            cell.run("--no-onnx" not in sys.argv)
    except Exception as error:
        result["error"] = _line(error)
        traceback.print_exc()
    result = {"set": own, "name": name} | (cell.result if cell else {"stage": "build"}) | result
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()

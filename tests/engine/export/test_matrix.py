"""Every source in every format that makes sense: opened, cut, exported, loaded where Secateur cannot be imported."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.errors import Message, SecateurError
from secateur.engine.export import export_process, pytorch
from secateur.engine.export import onnx as onnx_exporter
from secateur.engine.export.table import EXPORTERS, exporter_named
from secateur.engine.inference.model_inputs import at_batch, named_arrays
from secateur.engine.jobs import Job, NeverCancelled, finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit, PlanStart
from secateur.engine.session.session import Session
from secateur.engine.session.states import State
from secateur.engine.surgery.repair.keep_uniform import fitting_plan
from secateur.engine.tasks.model_outputs import main_output

from .matrix import FORMATS, MANUAL, ROWS, Row, manual

LOADER = Path(__file__).with_name("load_without_secateur.py")
TOLERANCES = {"onnx-fp16": 0.02, "onnx-int8": 0.3, "hugging-face": 1e-6}
TOLERANCE = 1e-4
Cell = tuple[str, str]


def name_of(row: Row) -> str:
    return f"{row.source}, {row.model}"


def here(function: str, job: Mapping[str, Any], *_: Any, **__: Any) -> Job[dict[str, Any]]:
    """`run_killable` in this process: a process for each step of each cell would take minutes."""
    module, name = function.split(":")
    return getattr(importlib.import_module(module), name)(job)


def unchecked(*_: Any, **__: Any) -> Job[dict[str, Any]]:
    """Folders are only loaded by the process of this test."""
    yield from ()
    return {"difference": 0.0}


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, Any]:
    """By cell of the rows that run: the difference from the live cut model, or why there is no file, or no output."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = {(id(one.params.get("row")), str(one.params.get("form"))) for one in calls if one is not None}
    rows = [row for row in ROWS if any(row_of_cell == id(row) for row_of_cell, _ in wanted)]
    forms = [form for form in FORMATS if form == "onnx" or any(form == form_of_cell for _, form_of_cell in wanted)]
    place, patch = tmp_path_factory.mktemp("matrix"), pytest.MonkeyPatch()
    for module in (export_process, onnx_exporter):
        patch.setattr(module, "run_killable", here)
    patch.setattr(pytorch, "run_command", unchecked)
    found: dict[Cell, Any] = {}
    expected: dict[Cell, np.ndarray] = {}
    jobs: list[dict[str, str]] = []
    for number, row in enumerate(rows):
        folder = place / str(number)
        folder.mkdir()
        for one, outcome, inputs in exported(row, folder, forms):
            if isinstance(outcome, np.ndarray):
                expected[one] = outcome
                path = str(folder / f"{one[1]}{EXPORTERS[one[1]].suffix}")
                jobs.append({"format": one[1], "path": path, "inputs": inputs, "out": f"{path}.found.npy"})
            else:
                found[one] = outcome
    patch.undo()
    (place / "jobs.json").write_text(json.dumps(jobs))
    subprocess.run([sys.executable, "-P", str(LOADER), str(place / "jobs.json")], check=True, cwd=place, timeout=160)
    for (cell, right), job in zip(expected.items(), jobs, strict=True):
        out = Path(job["out"])
        found[cell] = gap(right, np.load(out)) if out.exists() else out.with_suffix(".txt").read_text()
    return found


def exported(row: Row, folder: Path, forms: Sequence[str]) -> Iterator[tuple[Cell, Any, str]]:
    """(cell, what the live cut model computes, file of inputs) for each format, or its refusal."""
    with closing(Session()) as session:
        finish(session.open(row.make(folder), evaluate=False))
        state = cut_by_a_third(session)
        model, artifacts = session.model(state.id), session.artifacts()
        inputs = at_batch(artifacts.request(model, state, "").inputs, 3)
        arrays: dict[str, Any] = {name: np.asarray(one) for name, one in named_arrays(inputs)}
        np.savez(folder / "inputs.npz", **arrays)
        with torch.no_grad():
            result = model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)
        right = main_output(result).numpy()
        onnx = ""
        for name in forms:
            path = str(folder / f"{name}{EXPORTERS[name].suffix}")
            request = replace(artifacts.request(model, state, path), onnx=onnx, samples=(inputs,))
            try:
                finish(exporter_named(name).export(request, NeverCancelled()))
            except SecateurError as error:
                yield (name_of(row), name), error.message, ""
            else:
                onnx = path if name == "onnx" else onnx
                yield (name_of(row), name), right, str(folder / "inputs.npz")


def cut_by_a_third(session: Session) -> State:
    analysis = session.analysis
    scores = finish(session.score("s0", "l1"))
    plan = solve(analysis, scores, Goal((Limit(Cost.PARAMETERS, 0.7),))).removed
    if session.prepared.spec.uniform:
        plan = fitting_plan(session.prepared.opened.model, PlanStart.of(analysis, scores), plan)
    return finish(session.cut("s0", plan))


def gap(right: np.ndarray, other: np.ndarray) -> float:
    """max|a - b| / max|a|."""
    if right.shape != other.shape:
        return float("inf")
    return float(np.abs(right - other).max() / np.abs(right).max())


@pytest.mark.matrix
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "row", [pytest.param(row, id=name_of(row), marks=[pytest.mark.slow] if row.slow else []) for row in ROWS]
)
def test_a_cut_model_computes_the_same_without_secateur(matrix: dict[Cell, Any], row: Row, form: str) -> None:
    if form == "executorch" and importlib.util.find_spec("executorch") is None:
        pytest.skip("executorch is not installed")
    found = matrix[name_of(row), form]
    if form in row.refused:
        assert isinstance(found, Message) and found.template == row.refused[form]
    else:
        assert isinstance(found, float) and found < TOLERANCES.get(form, TOLERANCE), str(found)


def test_the_manual_has_the_table_of_the_matrix() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    assert manual(text) == text

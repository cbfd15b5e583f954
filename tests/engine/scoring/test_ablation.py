"""Ablation is the loss of the model that is really cut, minus that of the model as it is."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import TaskError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.scoring.ablation import BASELINE, structures_of
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, identities
from secateur.engine.surgery.cut.cut import cut
from tests.engine.nets import Transformer
from tests.engine.scoring.given_task import GivenTask

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _subject() -> tuple[Transformer, GivenTask, Analysis]:
    torch.manual_seed(0)
    net, task = Transformer().eval(), GivenTask(IMAGES, 6, batch=3)
    return net, task, analyse(net, task.example_inputs())


def _without(net: nn.Module, task: GivenTask, analysis: Analysis, structure: int) -> nn.Module:
    after = analysis.empty()
    after[structure] = True
    return cut(net, analysis, after, task.example_inputs()).model


def _loss(net: nn.Module, task: GivenTask) -> float:
    with torch.no_grad():
        return float(torch.stack([loss for b in task.given if (loss := task.loss(net, b)) is not None]).mean())


def test_heads_and_blocks_are_rated_by_the_loss_of_the_model_that_is_cut() -> None:
    net, task, analysis = _subject()
    scores = finish(score(net, analysis, analysis.empty(), "ablation", task))
    baseline = _loss(net, task)
    for kind in (Kind.HEAD, Kind.BLOCK):
        one = next(s for s in analysis.sets if s.kind is kind)
        expected = _loss(_without(net, task, analysis, one.first), task) - baseline
        assert np.isclose(scores[one.first], expected, atol=1e-6), kind
    rated = {analysis.set_of(int(s)).kind for s in np.flatnonzero(np.isfinite(scores))}
    assert rated == {Kind.HEAD, Kind.BLOCK}


def test_a_selection_of_residual_width_takes_what_the_norms_compute_into_account() -> None:
    net, task, analysis = _subject()
    width = next(s for s in analysis.sets if s.kind is Kind.WIDTH)
    chosen = analysis.empty()
    chosen[width.first + 5] = True
    choices = Choices(selection=identities(analysis, chosen))
    scores = finish(score(net, analysis, analysis.empty(), "ablation", task, choices=choices))
    expected = _loss(_without(net, task, analysis, width.first + 5), task) - _loss(net, task)
    assert np.flatnonzero(np.isfinite(scores)).tolist() == [width.first + 5]
    assert np.isclose(scores[width.first + 5], expected, atol=1e-6)


def test_without_a_loss_the_metric_takes_its_place() -> None:
    net, task, analysis = _subject()
    task.has_loss = False
    head = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    chosen = analysis.empty()
    chosen[head.first] = True
    choices = Choices(selection=identities(analysis, chosen))
    scores = finish(score(net, analysis, analysis.empty(), "ablation", task, choices=choices))
    smaller = _without(net, task, analysis, head.first)
    metrics = [finish(task.evaluate(model, "val", None)).value for model in (net, smaller)]  # pyright: ignore[reportArgumentType]
    assert np.isclose(scores[head.first], metrics[0] - metrics[1], atol=1e-6)


def test_a_cancelled_ablation_goes_on_where_it_stopped() -> None:
    net, task, analysis = _subject()
    known, token = dict[int, float](), threading.Event()
    job = score(net, analysis, analysis.empty(), "ablation", task, token=token, known=known)
    for _ in range(5):
        next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    assert BASELINE in known and len(known) == 4
    calls, ask = list[int](), task.loss

    def counted(model: Any, batch: Any) -> Any:
        calls.append(1)
        return ask(model, batch)

    task.loss = counted
    finish(score(net, analysis, analysis.empty(), "ablation", task, known=known))
    assert len(calls) == 1 + 2 * (len(structures_of(analysis, analysis.empty(), Choices())) + 1 - 4)


def test_the_last_structure_of_a_set_is_not_taken_away() -> None:
    _, _, analysis = _subject()
    removed = analysis.empty()
    heads = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    removed[heads.first + 1 : heads.first + heads.count] = True
    assert heads.first not in structures_of(analysis, removed, Choices())


def test_a_loss_that_is_no_number_and_a_selection_of_nothing_are_told() -> None:
    net, task, analysis = _subject()
    given = net, analysis, analysis.empty(), "ablation", task
    with pytest.raises(TaskError, match="Nothing in the selection can be removed"):
        finish(score(*given, choices=Choices(selection={"nope": [0]})))
    task.given = [(images * torch.nan, labels) for images, labels in task.given]
    with pytest.raises(TaskError, match="The loss of a calibration batch is NaN or infinity"):
        finish(score(*given))

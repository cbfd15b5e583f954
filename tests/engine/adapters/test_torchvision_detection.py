"""Maps, boxes and losses beside those that torchvision's own forward computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.adapters.torchvision_detection import (
    analysis_inputs,
    boxes_of,
    classes_of,
    family,
    plain,
    training_losses,
    with_maps,
)
from secateur.engine.tracing.tree import tensors_of

from ..detector_nets import faster_rcnn, fcos, keypoint_rcnn, mask_rcnn, retinanet, ssd

ONE_STAGE = (fcos, retinanet, ssd)
ALL = (*ONE_STAGE, faster_rcnn, mask_rcnn, keypoint_rcnn)
Make = Callable[[], Any]


@pytest.mark.parametrize("make", ONE_STAGE)
def test_maps_are_what_the_heads_give_in_the_detectors_own_forward(make: Make) -> None:
    model, images = _model(make), torch.rand(3, 3, 50, 60)
    heard: list[Any] = []
    handle = model.head.register_forward_hook(lambda _module, _inputs, outputs: heard.append(outputs))
    with torch.no_grad():
        model(list(images))
        handle.remove()
        maps = with_maps(model)(images, maps=True)
    assert maps.keys() == heard[0].keys()
    for name, expected in heard[0].items():
        torch.testing.assert_close(maps[name], expected)


@pytest.mark.parametrize("make", ONE_STAGE)
def test_boxes_of_maps_are_those_that_the_detector_finds(make: Make) -> None:
    model, images = _model(make), torch.rand(2, 3, 50, 60)
    with torch.no_grad():
        expected = model(images)
        found = boxes_of(model, with_maps(model)(images, maps=True), (50, 60))
    assert sum(len(one["boxes"]) for one in expected) > 5
    for one, other in zip(expected, found, strict=True):
        for name in ("boxes", "labels", "scores"):
            torch.testing.assert_close(other[name], one[name])


@pytest.mark.parametrize("make", ALL)
def test_a_detector_answers_as_before_once_it_can_give_maps(make: Make) -> None:
    model, images = _model(make), torch.rand(2, 3, 64, 64)
    own = type(model)
    with torch.no_grad():
        expected = tensors_of(model(images))
        assert with_maps(with_maps(model)) is model and isinstance(model, own)
        found = tensors_of(model(images))
        assert len(tensors_of(model(images, maps=True))) > 1
    assert all(map(torch.equal, expected, found))


@pytest.mark.parametrize("make", (fcos, retinanet, ssd, faster_rcnn))
def test_the_loss_is_the_sum_of_the_detectors_own_in_evaluation_mode_too(make: Make) -> None:
    model, images, targets = _model(make), torch.rand(2, 3, 64, 64), _targets()
    statistics = [one.clone() for one in model.buffers()]
    before = torch.get_rng_state()
    loss = _loss(model, images, targets)
    assert torch.equal(loss, _loss(model, images, targets)) and torch.equal(before, torch.get_rng_state())
    assert all(map(torch.equal, statistics, model.buffers()))
    assert not any(module.training for module in model.modules())
    torch.manual_seed(0)  # R-CNNs draw the boxes that they learn from
    model.train()
    for module in model.modules():
        module.training = module.training and not isinstance(module, nn.BatchNorm2d)
    assert torch.isclose(loss, sum(model(list(images), targets).values(), torch.zeros(())))
    assert loss.requires_grad


@pytest.mark.parametrize("make", (mask_rcnn, keypoint_rcnn))
def test_boxes_alone_teach_a_detector_that_finds_more_than_boxes(make: Make) -> None:
    model = _model(make)
    _loss(model, torch.rand(2, 3, 64, 64), _targets()).backward()
    name = "mask_head" if make is mask_rcnn else "keypoint_head"
    assert all(p.grad is None for p in getattr(model.roi_heads, name).parameters())
    assert model.roi_heads.box_head.fc6.weight.grad is not None
    assert model.roi_heads.has_mask() == (make is mask_rcnn)


def test_images_are_looked_at_at_the_size_of_an_ssd() -> None:
    model = ssd()
    seen: Any = analysis_inputs(model, ([torch.rand(3, 30, 40), torch.rand(3, 20, 70)],))
    assert seen["images"].shape == (2, 3, 64, 64) and seen["maps"] is True
    images: Any = plain(seen)
    assert [one.shape for one in images] == [(2, 3, 64, 64)]
    net = nn.Linear(3, 3)
    same: Any
    (same,) = analysis_inputs(net, (torch.ones(2, 3),))
    assert same.shape == (2, 3) and with_maps(net) is net and family(net) == ""


def test_each_detector_says_its_classes() -> None:
    expected = {fcos: (3, False), retinanet: (3, False), ssd: (3, True), faster_rcnn: (3, True)}
    assert {make: classes_of(make()) for make in expected} == expected


def test_maps_of_a_student_in_training_have_the_size_of_its_teachers() -> None:
    """Where a detector draws the size of its images at random while it is trained."""
    teacher: Any = with_maps(faster_rcnn()).eval()
    student: Any = with_maps(faster_rcnn()).train()
    for model in (teacher, student):
        model.transform.min_size, model.transform.max_size = (40, 48, 56, 64, 72), 200
    images = [torch.rand(3, 40, 40), torch.rand(3, 36, 48)]
    for _ in range(4):
        answers = (tensors_of(model(images, maps=True)) for model in (teacher, student))
        assert [one.shape for one in next(answers)] == [one.shape for one in next(answers)]
    assert student.transform.training


def _model(make: Make) -> Any:
    """With thresholds at which an untrained detector finds something."""
    torch.manual_seed(0)
    model = make().eval()
    if hasattr(model, "score_thresh"):
        model.score_thresh = 1e-6
    return model


def _targets() -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 20.0, 60.0, 50.0]])
    return [{"boxes": boxes, "labels": torch.tensor([1, 2])}, {"boxes": boxes[:1], "labels": torch.tensor([2])}]


def _loss(*asked):
    """All of a detector's losses together."""
    return torch.stack([*training_losses(*asked).values()]).sum()

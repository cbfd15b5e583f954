"""torchvision's detectors: what they compute before they choose boxes, their losses, their classes. Loads torch.

Which boxes win is decided by scores that may be nearly equal, so that a difference of 1e-7 gives other detections. What
a detector computes is therefore compared before that step: the maps of its heads, in the second of two stages on boxes
that are given. `with_maps` lets a detector return them; everything else about it stays.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..inference.model_inputs import Inputs

IMAGES, MAPS = "images", "maps"
"""Names of the inputs: images [N, 3, H, W] of 0..1 (or a list of [3, H, W]), and the flag that asks for maps."""

FOUND = ("boxes", "labels", "scores")
"""What every detector gives for an image."""

FAMILIES = {
    "SSD": "torchvision.models.detection.ssd",
    "RetinaNet": "torchvision.models.detection.retinanet",
    "FCOS": "torchvision.models.detection.fcos",
    "GeneralizedRCNN": "torchvision.models.detection.generalized_rcnn",
}
"""Class of a detector to the module that defines it."""

GIVEN = ((0.03, 0.03, 0.47, 0.70), (0.23, 0.16, 0.94, 0.78), (0.0, 0.39, 1.0, 1.0))
"""Boxes that a second stage is asked about, as shares of width and height."""

Detections: TypeAlias = list[dict[str, Tensor]]
"""For each image "boxes" [R, 4] as x1, y1, x2, y2 in its pixels, "labels" [R] and "scores" [R]."""


def family(model: Any) -> str:
    """The key of `FAMILIES` that a model belongs to, "" for what is no detector of torchvision."""
    for name, module in FAMILIES.items():
        found = getattr(sys.modules.get(module), name, None)  # not imported: the model cannot be one of its classes
        if found is not None and isinstance(model, found):
            return name
    return ""


def in_two_stages(model: Any) -> bool:
    """Whether boxes are chosen in the middle of the network."""
    return family(model) == "GeneralizedRCNN"


def with_maps(model: nn.Module) -> nn.Module:
    """The same module, which returns its maps when it is called with `maps=True`; other models are left alone."""
    if family(model) and not isinstance(model, _Maps):
        own = type(model)
        model.__class__ = _EXTENDED.setdefault(own, type(own.__name__, (_Maps, own), {"__doc__": own.__doc__}))
    return model


def with_own_class(model: nn.Module) -> nn.Module:
    """The same module, of its own class again; models that `with_maps` left alone are as they were."""
    if isinstance(model, _Maps):
        model.__class__ = type(model).__bases__[1]
    return model


def analysis_inputs(model: Any, inputs: Inputs) -> Inputs:
    """The inputs by which a model is analysed: a detector's images of one size, with the flag that asks for maps."""
    if not family(model) or isinstance(inputs, Mapping) or len(inputs) != 1:
        return inputs
    given = inputs[0]
    if not isinstance(given, Tensor):
        images = cast("Sequence[Tensor]", given)
        given = torch.stack([resized(image[None], images[0].shape[-2:])[0] for image in images])
    return {IMAGES: resized(given, own_size(model) or given.shape[-2:]), MAPS: True}


def asked_for_maps(inputs: Inputs) -> Inputs:
    """A detector's images, whatever their sizes, with the flag that asks for maps."""
    return inputs if isinstance(inputs, Mapping) else {IMAGES: inputs[0], MAPS: True}


def plain(inputs: Inputs) -> Inputs:
    """The images alone, as the detector's own class takes them; other inputs as they are."""
    return (inputs[IMAGES],) if isinstance(inputs, Mapping) and MAPS in inputs else inputs


def images_of(inputs: Inputs) -> Tensor:
    """The images [N, 3, H, W] among a detector's inputs."""
    return inputs[IMAGES] if isinstance(inputs, Mapping) else inputs[0]


def own_size(model: Any) -> tuple[int, int] | None:
    """(height, width) that a detector brings every image to, None where that depends on the image."""
    fixed = model.transform.fixed_size
    return None if fixed is None else (int(fixed[1]), int(fixed[0]))


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images [N, C, H, W] at another (height, width), as detectors resize them."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, list(size), mode="bilinear", align_corners=False)


def classes_of(model: Any) -> tuple[int, bool]:
    """How many classes a detector tells apart (0 where it does not say), and whether class 0 is the background."""
    kind = family(model)
    if kind == "SSD":
        return int(model.head.classification_head.num_columns), True
    if kind == "GeneralizedRCNN":
        score = getattr(model.roi_heads.box_predictor, "cls_score", None)
        return (int(score.out_features) if isinstance(score, nn.Linear) else 0), True
    return int(model.head.classification_head.num_classes), False


def maps_of(model: Any) -> tuple[str, ...]:
    """Names of the maps of a detector in one stage, each [N, places, values]."""
    return ("cls_logits", "bbox_regression", *(("bbox_ctrness",) if family(model) == "FCOS" else ()))


def training_losses(model: Any, images: Any, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A detector's own losses for boxes and classes by their names, in whichever mode its other parts are.

    R-CNNs draw the boxes that they learn from; of a model that is not in training mode always the same ones.

    Args:
        model: A detector of torchvision.
        images: [N, 3, H, W], or a list of [3, H, W].
        targets: For each image "boxes" [M, 4] as x1, y1, x2, y2 and "labels" [M].
    """
    heads: Any = getattr(model, "roi_heads", None)
    parts = [model, *(getattr(model, name) for name in ("rpn", "roi_heads") if hasattr(model, name))]
    with ExitStack() as stack:
        if not model.training:
            stack.enter_context(cast("AbstractContextManager[None]", torch.random.fork_rng(devices=[])))
            torch.manual_seed(0)
        for part in parts:
            stack.callback(setattr, part, "training", part.training)
            part.training = True
        # Heads for masks and keypoints would ask for targets of their own.
        for name in ("mask_roi_pool", "keypoint_roi_pool"):
            if heads is not None and getattr(heads, name, None) is not None:
                stack.callback(setattr, heads, name, getattr(heads, name))
                setattr(heads, name, None)
        return model(images, [dict(one) for one in targets])


def boxes_of(model: Any, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Detections:
    """What a detector in one stage makes of maps that it, or a file of it, has computed.

    Args:
        model: The detector; its weights play no part, its anchors and thresholds do.
        maps: As `model(images, maps=True)` gives them.
        size: (height, width) of the images.
    """
    from torchvision.models.detection.image_list import ImageList

    images = torch.zeros(maps["cls_logits"].shape[0], 3, *size)
    with torch.no_grad():
        batch, sizes = _prepare_images(model.transform, images)
        sizes = sizes * len(images)
        features = _feature_list(model.backbone(batch[:1]))
        anchors: list[Tensor] = model.anchor_generator(ImageList(batch, sizes), features)
        if family(model) == "SSD":
            found = model.postprocess_detections(dict(maps), anchors, sizes)
        else:
            places = [one.shape[2] * one.shape[3] for one in features]
            each = maps["cls_logits"].shape[1] // sum(places)
            levels = [each * place for place in places]
            split = {name: list(torch.split(one, levels, dim=1)) for name, one in maps.items()}
            parted = [list(torch.split(one, levels)) for one in anchors]
            found = model.postprocess_detections(split, parted, sizes)
        return model.transform.postprocess(found, sizes, [size] * len(images))


class _Maps:
    """Mixed into a detector's class by `with_maps`."""

    def forward(self: Any, images: Any, targets: Any = None, maps: bool = False) -> Any:
        """What torchvision's own forward gives, or the maps."""
        if not maps:
            return cast("Any", super()).forward(images, targets)
        random, self.transform.training = self.transform.training, False  # in training its size is drawn at random
        try:
            batch, sizes = _prepare_images(self.transform, images)
        finally:
            self.transform.training = random
        features = self.backbone(batch)
        if not hasattr(self, "roi_heads"):
            return self.head(_feature_list(features))
        return _two_stage_maps(self, features, sizes if len(sizes) == len(batch) else sizes * len(batch))


_EXTENDED: dict[type, type] = {}
"""A detector's class to the one with maps, so that two models of a class still have one."""


def _prepare_images(transform: Any, images: Any) -> tuple[Tensor, list[tuple[int, int]]]:
    """Images as the backbone takes them [N, 3, h, w], and the size of each without padding, or of all of them.

    A batch in one tensor goes through the detector's own transform as one image with 3 N channels: nothing in it mixes
    channels, and so the batch size stays free in an export. The mean and deviation of three channels come first.
    """
    if not isinstance(images, Tensor):
        listed, _ = transform(images)
        return listed.tensors, list(listed.image_sizes)
    normal: Tensor = transform.normalize(images)
    one, _ = transform.resize(normal.flatten(0, 1), None)
    size = (one.shape[-2], one.shape[-1])
    padded: Tensor = transform.batch_images([one], size_divisible=transform.size_divisible)[0]
    return padded.reshape(-1, images.shape[1], *padded.shape[1:]), [size]


def _feature_list(features: Any) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features.values())


def _two_stage_maps(model: Any, features: Any, sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """The maps of both stages."""
    features = {"0": features} if isinstance(features, Tensor) else features
    objectness, moves = model.rpn.head(list(features.values()))
    heads = model.roi_heads
    given = next(iter(features.values()))
    boxes = [given.new_tensor(GIVEN) * given.new_tensor([w, h, w, h]) for h, w in sizes]
    scores, refined = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
    found = {"objectness": objectness, "rpn_boxes": moves, "cls_logits": scores, "bbox_regression": refined}
    if heads.has_mask():
        pooled = heads.mask_roi_pool(features, boxes, sizes)
        found["masks"] = heads.mask_predictor(heads.mask_head(pooled))
    if heads.has_keypoint():
        pooled = heads.keypoint_roi_pool(features, boxes, sizes)
        found["keypoints"] = heads.keypoint_predictor(heads.keypoint_head(pooled))
    return found

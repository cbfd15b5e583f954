"""Small detectors of torchvision's classes, and a COCO-style folder of rectangles on noise."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import MultiScaleRoIAlign

SIDE = 64
CATEGORIES = {3: "bright", 7: "dark"}
"""Ids that do not follow one another, as COCO's do not."""


class Backbone(nn.Module):
    """[N, 3, H, W] -> [N, 64, H / 8, W / 8]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1))
        layers = [[nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()] for i, o, s in sizes]
        self.body = nn.Sequential(*(nn.Sequential(*some) for some in layers))
        self.out_channels = 64

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def fcos() -> Any:
    """Two classes behind an unused one, as COCO's ids have it."""
    return FCOS(Backbone(), 3, **_sizes(), anchor_generator=AnchorGenerator(((8,),), ((1.0,),)))


def retinanet() -> Any:
    anchors = AnchorGenerator(((16, 24),), ((0.5, 1.0),))
    head = RetinaNetHead(64, anchors.num_anchors_per_location()[0], 3)
    return RetinaNet(Backbone(), 3, **_sizes(), anchor_generator=anchors, head=head)


def ssd() -> Any:
    """Resizes every image to 64 x 64."""
    anchors = DefaultBoxGenerator([[2]], scales=[0.3, 0.5])
    head = SSDHead([64], anchors.num_anchors_per_location(), 3)
    return SSD(Backbone(), anchors, (SIDE, SIDE), 3, head=head)


def faster_rcnn() -> Any:
    return FasterRCNN(Backbone(), **_sizes(), **_second())


def mask_rcnn() -> Any:
    head, predictor = MaskRCNNHeads(64, (32,), 1), MaskRCNNPredictor(32, 32, 3)
    own: dict[str, Any] = {"mask_roi_pool": _pool(6), "mask_head": head, "mask_predictor": predictor}
    return MaskRCNN(Backbone(), **_sizes(), **_second(), **own)


def keypoint_rcnn() -> Any:
    head, predictor = KeypointRCNNHeads(64, (32,)), KeypointRCNNPredictor(32, 2)
    own: dict[str, Any] = {"keypoint_roi_pool": _pool(6), "keypoint_head": head, "keypoint_predictor": predictor}
    return KeypointRCNN(Backbone(), **_sizes(), **_second(), **own)


def _sizes() -> dict[str, Any]:
    return {"min_size": SIDE, "max_size": SIDE}


def _second() -> dict[str, Any]:
    anchors = AnchorGenerator(((16, 24),), ((1.0,),))
    head, predictor = TwoMLPHead(64 * 16, 48), FastRCNNPredictor(48, 3)
    return {
        "rpn_anchor_generator": anchors, "box_roi_pool": _pool(4), "box_head": head, "box_predictor": predictor,
    }  # fmt: skip


def _pool(size: int) -> Any:
    return MultiScaleRoIAlign(["0"], size, 2)


def rectangles(root: Path, counts: Mapping[str, int]) -> Path:
    """Images of bright and dark rectangles on noise, one folder with its annotations for each split."""
    random = np.random.default_rng(0)
    for split, count in counts.items():
        (root / split).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for number in range(count):
            pixels = random.integers(90, 166, (SIDE, SIDE, 3), dtype=np.uint8)
            for category, (low, high) in zip(CATEGORIES, ((225, 256), (0, 30)), strict=True):
                width, height = random.integers(18, 30, 2)
                left = random.integers(0, SIDE - width)
                top = random.integers(0, 2) * (SIDE // 2)
                height = min(height, SIDE - top)
                pixels[top : top + height, left : left + width] = random.integers(low, high)
                found.append(box(len(found) + 1, number + 1, category, (left, top, width, height)))
            Image.fromarray(pixels).save(root / split / f"{number}.png")
            images.append({"id": number + 1, "file_name": f"{number}.png"})
        write(root / split / "_annotations.coco.json", images, found)
    return root


def box(number: int, image: int, category: int, where: tuple[Any, ...], crowd: int = 0) -> dict[str, Any]:
    """An entry of a COCO-style file."""
    x, y, width, height = (float(one) for one in where)
    names = {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, width, height]}
    return {**names, "iscrowd": crowd, "area": width * height}


def write(file: Path, images: list[dict[str, Any]], boxes: list[dict[str, Any]]) -> None:
    """A COCO-style file."""
    categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
    file.write_text(json.dumps({"info": {}, "images": images, "annotations": boxes, "categories": categories}))


def taught(make: Any, task: Any, epochs: int) -> nn.Module:
    """A detector that was trained for some epochs on a task's train split."""
    from secateur.engine.tasks.protocol import Split

    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        model.train()
        for batch in task.batches(Split.TRAIN, seed=epoch):
            loss = task.loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return model.eval()

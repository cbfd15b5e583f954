"""Ultralytics YOLO v8 and 11, nano, built from their YAML, in every task. Needs `pip install ultralytics`, which the
product never does: its licence keeps it out.
"""
# pyright: reportMissingImports=false

import torch
from torch import nn

from .subject import Subject

TASKS = ("detect", "segment", "pose", "obb", "classify")
ENDING = {"detect": "", "segment": "-seg", "pose": "-pose", "obb": "-obb", "classify": "-cls"}


def names() -> list[str]:
    """yolov8n, yolov8n-seg ..."""
    return [f"{version}n{ENDING[task]}" for version in ("yolov8", "yolo11") for task in TASKS]


def subject(name: str) -> Subject:
    """A network of random weights and images of 64 pixels."""
    return Subject(lambda: _make(name), lambda: (torch.rand(2, 3, 64, 64),))


def _make(name: str) -> nn.Module:
    from ultralytics.nn import tasks

    kinds = (tasks.DetectionModel, tasks.SegmentationModel, tasks.PoseModel, tasks.OBBModel, tasks.ClassificationModel)
    task = next(t for t in reversed(TASKS) if name.endswith(ENDING[t]))
    return kinds[TASKS.index(task)](f"{name}.yaml", verbose=False)

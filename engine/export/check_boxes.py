"""Runs a detector's ONNX file in a fresh process and compares the boxes that it finds."""

from typing import Any

from ..jobs import Job
from .check_onnx import checked
from .compare import difference_of_boxes


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    return (yield from checked(job, difference_of_boxes))

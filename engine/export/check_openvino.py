"""Runs an OpenVINO file in a fresh process and compares. Imports no torch."""

from typing import Any

from ..jobs import Job, Progress
from ..model_inputs import call, read
from ..targets.openvino_target import loaded
from .compare import largest_difference


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    _, run = loaded(job["path"])
    return {"difference": largest_difference(lambda one: call(run, one), read(job["cases"]))}

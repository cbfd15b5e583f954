"""The converting process: reads an ONNX file with OpenVINO and saves it in OpenVINO's form. Imports no torch."""

from typing import Any

import onnx

from ..errors import ExportError
from ..jobs import Job, Progress
from ..targets.openvino_target import library

OUTPUTS = ["secateur", "outputs"]
"""Where the graph says, as JSON, at which paths of the model's output its outputs stand."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write `job["source"]` as the .xml file `job["path"]` and the .bin file beside it, in float32."""
    yield Progress("Converting the file", 2, 4)
    openvino = library()

    try:
        model = openvino.Core().read_model(job["source"])
        told = {one.key: one.value for one in onnx.load(job["source"], load_external_data=False).metadata_props}
        for key, value in told.items():
            model.set_rt_info(value, [OUTPUTS[0], key])
        openvino.save_model(model, job["path"], compress_to_fp16=False)
    except Exception as error:
        template = "OpenVINO cannot convert the ONNX file: {error}"
        words = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError("export.openvino", template, str(error), error=words) from error
    return {}

"""Scores an ONNX file on the bundled test images with onnxruntime and numpy alone: `score_onnx.py FILE ARRAYS`."""

import sys

import numpy as np
import onnxruntime

MEAN, STD = 0.2860, 0.3530


def main() -> None:
    model, arrays = sys.argv[1:]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(arrays) as data:
        images, labels = data["x_test"], data["y_test"]
    inputs = ((images.astype(np.float32) / 255 - MEAN) / STD)[:, None]
    name = session.get_inputs()[0].name
    right = 0
    for start in range(0, len(labels), 250):
        outputs = np.asarray(session.run(None, {name: inputs[start : start + 250].astype(np.float32)})[0])
        right += int((outputs.argmax(axis=1) == labels[start : start + 250]).sum())
    assert not {"torch", "secateur"} & set(sys.modules)
    sys.stdout.write(f"{right / len(labels):.6f} {len(labels)}\n")


if __name__ == "__main__":
    main()

"""How long a model takes: measured with ONNX Runtime, OpenVINO or PyTorch, here or elsewhere, and predicted."""

"""Targets: measure the latency of models with ONNX Runtime, OpenVINO or PyTorch, here or on another machine."""

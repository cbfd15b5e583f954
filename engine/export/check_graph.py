"""Runs an ONNX file that kept its own graph in a fresh process and compares, as any ONNX file."""

from .check_onnx import main

__all__ = ["main"]

"""Exports that several tests look at are made once."""

import pytest

from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.program import ProgramExporter
from secateur.engine.export.pytorch import export_pytorch
from secateur.engine.jobs import NeverCancelled, finish

from .nets import cut_by_hand, request


@pytest.fixture(scope="package")
def onnx_export(tmp_path_factory):
    """(request, Exported) of a network cut by hand."""
    folder = tmp_path_factory.mktemp("onnx")
    asked = request(folder, folder / "net.onnx")
    cut_by_hand(asked.model)
    return asked, finish(export_onnx(asked))


@pytest.fixture(scope="package")
def pytorch_export(tmp_path_factory):
    """(request, Exported) of a network cut by hand."""
    folder = tmp_path_factory.mktemp("pytorch")
    asked = request(folder, folder / "pruned")
    cut_by_hand(asked.model)
    return asked, finish(export_pytorch(asked))


@pytest.fixture(scope="package")
def program_export(tmp_path_factory):
    """(request, Exported) of a network cut by hand."""
    folder = tmp_path_factory.mktemp("program")
    asked = request(folder, folder / "net.pt2")
    cut_by_hand(asked.model)
    return asked, finish(ProgramExporter().export(asked, NeverCancelled()))

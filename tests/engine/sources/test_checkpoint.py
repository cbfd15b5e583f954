"""Checkpoint files of every kind, good and bad, are read or refused with a sentence."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from secateur.engine.errors import OpenError
from secateur.engine.sources.checkpoint import read_checkpoint


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def tensors():
    return {"weight": torch.arange(6000.0).reshape(60, 100), "bias": torch.ones(60)}


def code_of(path, **options):
    with pytest.raises(OpenError) as caught:
        read_checkpoint(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.message.code


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_in_either_format_is_read(tmp_path, tensors, zipped):
    torch.save({"state_dict": tensors}, tmp_path / "a.th", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "a.th")
    assert torch.equal(read["state_dict"]["weight"], tensors["weight"])


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path, tensors):
    save_file(tensors, tmp_path / "weights.bin")
    assert torch.equal(read_checkpoint(tmp_path / "weights.bin")["weight"], tensors["weight"])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_runs_nothing_without_consent(tmp_path, tensors, zipped):
    witness = tmp_path / "witness"
    content = {"state_dict": tensors, "extra": Evil(str(witness))}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert code_of(tmp_path / "a.pt") == "checkpoint.pickle"
    assert not witness.exists()
    read_checkpoint(tmp_path / "a.pt", trust_pickle=True)["extra"].close()
    assert witness.exists()


def test_the_refusal_says_how_to_consent_and_names_what_the_file_asks_for(tmp_path):
    torch.save({"a": Evil("x")}, tmp_path / "a.pt")
    with pytest.raises(OpenError, match="Allow that only if you trust its source") as caught:
        read_checkpoint(tmp_path / "a.pt")
    assert "open" in caught.value.details


def test_a_whole_pickled_module_needs_consent(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "model.pt")
    assert code_of(tmp_path / "model.pt") == "checkpoint.pickle"
    assert read_checkpoint(tmp_path / "model.pt", trust_pickle=True).out_features == 3


@pytest.mark.parametrize("format", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_called_damaged(tmp_path, tensors, format, share):
    whole, cut = tmp_path / "whole", tmp_path / "cut.safetensors"
    if format == "safetensors":
        save_file(tensors, whole)
    else:
        torch.save(tensors, whole, _use_new_zipfile_serialization=format == "zip")
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    assert code_of(cut) == "checkpoint.damaged"


def test_a_truncated_pickle_does_not_ask_for_trust(tmp_path):
    torch.save({"a": Evil("x"), "b": list(range(1000))}, tmp_path / "w", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w").read_bytes()
    (tmp_path / "c.pt").write_bytes(content[: content.index(b"open")])
    assert code_of(tmp_path / "c.pt") == "checkpoint.damaged"


def test_a_file_that_is_no_checkpoint_says_so(tmp_path):
    (tmp_path / "a.pt").write_text("hello, this is text and no checkpoint")
    assert code_of(tmp_path / "a.pt") == "checkpoint.unknown"


def test_an_archive_that_is_no_checkpoint_says_so(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert code_of(tmp_path / "a.zip") == "checkpoint.zip"


def test_a_torchscript_archive_says_what_it_is(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(tmp_path / "a.pt"))
    assert code_of(tmp_path / "a.pt") == "checkpoint.script"


def test_empty_missing_and_folder_each_have_their_sentence(tmp_path):
    (tmp_path / "empty.pt").touch()
    assert code_of(tmp_path / "empty.pt") == "checkpoint.empty"
    assert code_of(tmp_path / "nowhere.pt") == "checkpoint.missing"
    assert code_of(tmp_path) == "checkpoint.folder"


def test_a_trusted_pickle_that_needs_absent_code_says_so(tmp_path):
    content = pickle.dumps({"a": Evil("x")}, protocol=2).replace(b"io\nopen", b"gone\nopen").replace(b"_io", b"gone")
    (tmp_path / "a.pt").write_bytes(content)
    assert code_of(tmp_path / "a.pt", trust_pickle=True) == "checkpoint.pickle_failed"

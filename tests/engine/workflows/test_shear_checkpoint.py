"""A folder that is cut from file to file is the one that a cut in memory gives, and is written whole or not at all."""

import errno
import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from secateur.engine.cli.main import main
from secateur.engine.errors import ExportError, OpenError, PlanError, VerificationError
from secateur.engine.export import sharded_folder
from secateur.engine.export.staged_output import staged_folder
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.planning.protocol import Goal, KindLimit
from secateur.engine.session.open_model import example_inputs
from secateur.engine.sources.hugging_face import skeleton
from secateur.engine.sources.open import named_by_hand
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.safetensors_io import MappedCheckpoint
from secateur.engine.structures.analysis import Kind
from secateur.engine.tracing.tree import tensors_of
from secateur.engine.workflows.shear_checkpoint import ShearedFolder, shear_checkpoint
from tests.warm_start import python

HERE = Path(__file__).parents[3]
SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "max_position_embeddings": 64,
}  # fmt: skip
WORDS = ["--shape", "layers=2", "width=32", "heads=4", "ffn=40"]
GOAL = Goal(
    (),
    shape=(
        KindLimit(Kind.BLOCK, count=2), KindLimit(Kind.WIDTH, count=32), KindLimit(Kind.HEAD, count=4),
        KindLimit(Kind.NEURON, count=40),
    ),
)  # fmt: skip


def written(folder: Path, kind: Any, config: Any, shard: str) -> Path:
    torch.manual_seed(0)
    kind(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size=shard)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77}')
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    return written(folder, transformers.LlamaForCausalLM, transformers.LlamaConfig(**SIZES), "20KB")


def sheared(folder: Path, out: Path, goal: Goal = GOAL, **changes: Any) -> ShearedFolder:
    spec = ModelSpec(str(folder))
    return finish(shear_checkpoint(spec, goal, out, named_by_hand(spec), **changes))


@pytest.fixture(scope="module")
def cut_llama(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model cut."""
    out = tmp_path_factory.mktemp("cut") / "out"
    sheared(llama, out)
    return out


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: one for file in folder.glob("*.safetensors") for name, one in load_file(file).items()}


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_what_the_cut_in_memory_gives(llama: Path, tmp_path: Path, capsys: Any, monkeypatch: Any, tied: bool):
    folder = llama
    if tied:
        sizes: dict[str, Any] = SIZES | {"tie_word_embeddings": True}
        folder = written(tmp_path / "tied", transformers.LlamaForCausalLM, transformers.LlamaConfig(**sizes), "1GB")
    monkeypatch.setattr(sharded_folder, "LARGEST", 9_000)
    streamed, memory = tmp_path / "streamed", tmp_path / "memory"
    assert main(["shear", str(folder), *WORDS, "--stream", "--export", str(streamed), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verification"]["passed"] and told["verification"]["difference"] < 1e-6
    assert main(["shear", str(folder), *WORDS, "--criterion", "l2", "--export", str(memory)]) == 0
    ours, theirs = tensors(streamed), tensors(memory)
    assert ours.keys() == theirs.keys() and len(list(streamed.glob("model-*.safetensors"))) > 2
    assert all(torch.equal(one, theirs[name]) for name, one in ours.items())
    configs = [json.loads((out / "config.json").read_text()) for out in (streamed, memory)]
    assert configs[0] == configs[1]
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(streamed)
    assert model.generate(torch.ones(1, 4, dtype=torch.int64), max_new_tokens=3, min_new_tokens=3).shape == (1, 7)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert (streamed / "tokenizer_config.json").exists()
    assert told["after"]["parameters"] == sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize("fault", ["row", "order"])
def test_a_wrong_index_is_found_in_the_written_files(llama: Path, tmp_path: Path, monkeypatch: Any, fault: str) -> None:
    right = sharded_folder.slice_tensor

    def wrong(tensor: torch.Tensor, keeps: Any, blank: bool = False) -> torch.Tensor:
        cut = right(tensor, keeps, blank)
        if cut.shape == (40, 32):  # of a feed-forward layer
            return cut.roll(1, 0) if fault == "row" else cut.flip(1)
        return cut

    monkeypatch.setattr(sharded_folder, "slice_tensor", wrong)
    with pytest.raises(VerificationError, match="failed verification"):
        sheared(llama, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_no_example_reads_is_compared_with_the_source(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, spec = sharded_folder.write_tensors, ModelSpec(str(llama))
    blank = skeleton(spec, named_by_hand(spec))
    read = {int(one) for words in tensors_of(example_inputs((), None, blank, blank.model)) for one in words.flatten()}
    unread = [row for row in range(64) if row not in read][:2]

    def wrong(path: Path, held: dict[str, torch.Tensor], *rest: Any) -> None:
        for name, one in held.items():
            if name.endswith("embed_tokens.weight"):
                one[unread] = one[unread[::-1]]
        right(path, held, *rest)

    monkeypatch.setattr(sharded_folder, "write_tensors", wrong)
    with pytest.raises(VerificationError, match=r"[Ee]very tensor.* entries of model.embed_tokens.weight are not"):
        sheared(llama, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_stopped_or_meets_a_full_disk_leaves_nothing(llama: Path, tmp_path: Path, monkeypatch: Any) -> None:
    token, spec = threading.Event(), ModelSpec(str(llama))
    job = shear_checkpoint(spec, GOAL, tmp_path / "out", named_by_hand(spec), token=token)
    with pytest.raises(Cancelled):
        for progress in job:
            if progress.message.code == "progress.shards" and progress.done:
                assert list(tmp_path.iterdir()) != []
                token.set()
    assert list(tmp_path.iterdir()) == []

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sharded_folder, "write_tensors", full)
    with pytest.raises(ExportError, match=r"disk|space"):
        sheared(llama, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_killed_leaves_no_folder_and_what_it_wrote_goes_as_it_is_begun_again(
    llama: Path, tmp_path: Path
) -> None:
    out, command = tmp_path / "out", python("-m", "tests.engine.workflows.killed_shear", str(llama), *WORDS)
    killed = subprocess.run([*command, "--stream", "--export", str(out)], cwd=HERE, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    (left,) = tmp_path.iterdir()
    assert len(list(left.glob("*.safetensors"))) == 2
    sheared(llama, tmp_path / "other")
    assert left.is_dir()  # of another path
    with staged_folder(out, lambda _: False) as written:  # as another process does at the same time
        sheared(llama, out)
        assert written.is_dir() and not left.exists()
        found, other = tensors(out), tensors(tmp_path / "other")
        shutil.rmtree(out)
    assert found.keys() == other.keys() and all(torch.equal(one, other[name]) for name, one in found.items())


def test_only_what_it_can_do_is_begun(llama: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(PlanError, match="needs data"):
        sheared(llama, tmp_path / "out", criterion="taylor")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(ExportError, match="already"):
        sheared(llama, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text((llama / "config.json").read_text())
    save_file({"model.norm.weight": torch.ones(47)}, other / "model.safetensors")
    with pytest.raises(OpenError, match=r"lack model.norm.weight"):
        sheared(other, tmp_path / "new")
    (other / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(OpenError, match="not a whole safetensors file"):
        sheared(other, tmp_path / "new")
    for words, part in (([], "--export"), (["--export", "x", "--steps", "3"], "Leave out --steps")):
        assert main(["shear", str(llama), *WORDS, "--stream", *words]) != 0
        assert part in capsys.readouterr().err
    assert main(["shear", "bundled:vit", "--shape", "heads=4", "--stream", "--export", "x"]) != 0
    assert "--stream reads a Hugging Face folder" in capsys.readouterr().err


def steps_before_refusal(folder: Path, out: Path, error: type[Exception], words: str, **changes: Any) -> list[str]:
    """The codes of what was told until a cut was refused with some words."""
    spec, told = ModelSpec(str(folder)), list[str]()
    with pytest.raises(error, match=words):
        for progress in shear_checkpoint(spec, GOAL, out, named_by_hand(spec), **changes):
            told.append(progress.message.code)
    return told


def test_a_folder_with_other_files_is_refused_first_and_an_export_replaced(
    llama: Path, cut_llama: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    assert steps_before_refusal(llama, out, ExportError, "already holds other files", overwrite=True) == []
    assert [one.name for one in out.iterdir()] == ["thesis.tex"]
    (out / "thesis.tex").unlink()
    shutil.copytree(cut_llama, out, dirs_exist_ok=True)
    small = Goal((), shape=(KindLimit(Kind.NEURON, count=24),))
    assert steps_before_refusal(llama, out, ExportError, "already exists") == []
    sheared(llama, out, small, overwrite=True)
    assert json.loads((out / "config.json").read_text())["intermediate_size"] == 24


@pytest.mark.parametrize("beside", ["index", "file", "named"])
def test_the_weights_that_are_cut_are_those_that_the_library_loads(
    llama: Path, cut_llama: Path, tmp_path: Path, beside: str
) -> None:
    folder, right = tmp_path / "model", transformers.LlamaForCausalLM.from_pretrained(llama, dtype="auto")
    other = {name: torch.randn_like(one) for name, one in tensors(llama).items()}
    right.save_pretrained(folder)
    file, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if beside == "named":
        file.rename(folder / "chosen.safetensors")
        save_file(other, file, {"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "chosen.safetensors"}))
    else:
        save_file(other, folder / "older.safetensors", {"format": "pt"})
    if beside == "index":
        index.write_text(json.dumps({"weight_map": dict.fromkeys(other, "older.safetensors")}))
    loaded: Any = transformers.LlamaForCausalLM.from_pretrained(folder, dtype="auto")
    sheared(folder, tmp_path / "out")
    assert torch.equal(loaded.lm_head.weight, right.lm_head.weight)
    cut, expected = tensors(tmp_path / "out"), tensors(cut_llama)
    assert cut.keys() == expected.keys() and all(torch.equal(one, expected[name]) for name, one in cut.items())


def test_a_tensor_in_two_files_is_refused_before_anything_is_written(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llama, folder)
    last = sorted(folder.glob("*.safetensors"))[-1]
    save_file(load_file(last) | {"model.norm.weight": torch.ones(48)}, last, {"format": "pt"})
    first = sorted(folder.glob("*.safetensors"))[0]
    save_file(load_file(first) | {"model.norm.weight": torch.ones(48)}, first, {"format": "pt"})
    told = steps_before_refusal(folder, tmp_path / "out", OpenError, r"model\.norm\.weight is in .* and in another")
    assert told and "progress.shards" not in told and [one.name for one in tmp_path.iterdir()] == ["model"]


def test_tensors_on_disk_are_those_that_the_library_reads(llama: Path) -> None:
    found = MappedCheckpoint(sorted(llama.glob("*.safetensors")))
    for name, one in tensors(llama).items():
        assert torch.equal(found.tensors[name], one)
        found.release()
        assert torch.equal(found.tensors[name], one)

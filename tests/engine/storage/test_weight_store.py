"""Weights are stored once, come back identical, and only those that nobody needs are ever removed."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.storage import safetensors_io
from secateur.engine.storage.paths import DIGEST
from secateur.engine.storage.weight_store import MemoryStore, WeightStore


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)


def test_a_state_dict_comes_back_bit_for_bit_with_its_tied_names(tmp_path: Path) -> None:
    model, store = Tied(), WeightStore(tmp_path)
    digest = store.put(model.state_dict())
    back = store.get(digest)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())
    assert "second.weight" not in load_file(store.path(digest))
    model.load_state_dict(back)


def test_the_name_is_the_sha256_of_the_file_and_equal_weights_are_stored_once(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    weights = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.zeros(0)}
    digest = store.put(weights)
    assert hashlib.sha256(store.path(digest).read_bytes()).hexdigest() == digest
    assert store.put({name: value.clone() for name, value in weights.items()}) == digest
    assert [path.name for path in tmp_path.iterdir()] == [f"{digest}.safetensors"]
    assert store.put({**weights, "a": weights["a"] + 1}) != digest


def test_weights_are_written_from_where_they_are_unless_they_share_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of all of them would take as much memory as the model."""
    whole, written = torch.arange(12.0), dict[str, torch.Tensor]()
    given = {"own": torch.ones(3, 4), "turned": torch.ones(3, 4).T, "part": whole[:6], "seen": whole.view(3, 4)}
    given["again"] = whole.view(4, 3)
    real = safetensors_io.save_file

    def noted(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        written.update(tensors)
        real(tensors, path, metadata)

    monkeypatch.setattr(safetensors_io, "save_file", noted)
    store = WeightStore(tmp_path)
    back = store.get(store.put(given))
    assert all(torch.equal(back[name], one) for name, one in given.items())
    assert [name for name, one in given.items() if written[name].data_ptr() == one.data_ptr()] == ["own", "seen"]


def test_the_oldest_unneeded_weights_go_first_and_needed_ones_never(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, bound=2500)
    digests = [store.put({"w": torch.full((250,), float(n))}) for n in range(4)]
    for age, digest in enumerate(digests):
        os.utime(store.path(digest), (age, age))
    store.collect({digests[0], digests[3]})
    assert [store.path(d).exists() for d in digests] == [True, False, False, True]
    store.bound = 0
    assert store.collect({digests[0], digests[3]}) > 0
    assert [store.path(d).exists() for d in digests] == [True, False, False, True]


def test_only_weights_that_are_missing_are_taken_and_told(tmp_path: Path) -> None:
    one, other = WeightStore(tmp_path / "one"), WeightStore(tmp_path / "other")
    digests = [other.put({"a": torch.full((2,), float(value))}) for value in range(3)]
    first = ["Weights 1 of 2", "Weights 2 of 2"]
    for some, told in ((digests[:2], first), (digests, ["Weights 1 of 1"]), (digests, [])):
        assert [str(step.message) for step in one.take(some, other, NeverCancelled())] == told
    assert [one.get(digest)["a"][0] for digest in digests] == [0, 1, 2]


def test_nothing_is_removed_below_the_bound(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    digest = store.put({"w": torch.ones(3)})
    store.collect(set())
    assert store.path(digest).exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "zeroed"])
def test_missing_or_damaged_weights_are_a_sentence(tmp_path: Path, damage: str) -> None:
    store = WeightStore(tmp_path)
    path = store.path(digest := store.put({"w": torch.ones(300)}))
    store.get(digest)
    harmed = path.read_bytes()[:-50]
    path.unlink() if damage == "missing" else path.write_bytes(harmed + bytes(50) * (damage == "zeroed"))
    with pytest.raises(OpenError, match="The weights of s7 are missing or damaged"):
        store.get(digest, "s7")
    assert store.restore(digest, {"w": torch.ones(300)}) and store.get(digest)["w"].sum() == 300
    assert not store.restore("0" * 64, {"w": torch.ones(7)}) and len(list(tmp_path.iterdir())) == 1


def test_a_file_is_hashed_once_for_as_long_as_nobody_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = WeightStore(tmp_path / "one").put({"w": torch.ones(300)})
    finish(WeightStore(tmp_path / "other").take([digest], WeightStore(tmp_path / "one"), NeverCancelled()))
    path, hashed, plainly = WeightStore(tmp_path / "other").path(digest), [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: hashed.append(given) or plainly(*given))
    for count in (0, 1, 1):
        WeightStore(tmp_path / "other").get(digest)
        assert len(hashed) == count
        if not count:
            os.utime(path, (1, 1))


def test_what_is_no_file_of_ours_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"1")
    WeightStore(tmp_path, bound=0).collect(set())
    assert (tmp_path / "mine.safetensors").exists()


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SecateurError, match="No space left"):
        WeightStore(tmp_path).put({"w": torch.ones(3)})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system itself refuses files above 10 kB, as it refuses what a full disk cannot take."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_what_the_disk_refuses_in_the_midst_of_a_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        SecateurError, match=r"Cannot write .*: File too large\. Free some space or choose another folder"
    ):
        WeightStore(tmp_path).put({"w": torch.ones(10_000)})
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_holds_the_first_and_the_last_tensors_without_a_copy() -> None:
    store, given = MemoryStore(), [{"weight": torch.full((2,), float(number))} for number in range(6)]
    names = [store.put(one) for one in given]
    assert len({*names}) == len(given) and all(DIGEST.fullmatch(name) for name in names)
    for number in (0, 3, 4, 5):
        assert store.get(names[number])["weight"] is given[number]["weight"]
    for number in (1, 2):
        with pytest.raises(KeyError):
            store.get(names[number])

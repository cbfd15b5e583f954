"""What a foreign file may be: no pipe, no more than it holds, no folder without an end; and honest ones of any size."""

import gzip
import io
import json
import os
import random
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.engine.errors import DataError, OpenError
from secateur.engine.inference.model_inputs import named_arrays
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.session.state_history import LOG, StateHistory
from secateur.engine.sources.checkpoint import read_checkpoint
from secateur.engine.sources.state_dict_match import match
from secateur.engine.storage import file_limits
from secateur.engine.storage.file_limits import check_unpacked, parse_json, read_whole, walked
from secateur.engine.tasks.arrays import load_arrays
from secateur.engine.tasks.images import ImageReader
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import TaskSpec
from tests.hostile.zoo import POSTSCRIPT, bomb_member, laughing, npy_head, packed_zeros, pictures, write_idx
from tests.waiting import PATIENCE

LARGE = 1 << 30


def code_of(caught: pytest.ExceptionInfo[OpenError] | pytest.ExceptionInfo[DataError]) -> str:
    return caught.value.message.code


def test_a_pipe_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "w.pt")
    for read in (read_checkpoint, read_recipe, read_whole):
        with pytest.raises(OpenError, match=r"w\.pt is a named pipe") as caught:
            read(pipe)
        assert code_of(caught) == "file.special"


def test_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match="is a device"):
        read_whole(Path("/dev/zero"))


def test_a_checkpoint_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(10)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "w.pt", "w") as target:
        for info in source.infolist():
            if info.filename.endswith("data/0"):
                bomb_member(target, info.filename, LARGE)
            else:
                target.writestr(info.filename, source.read(info))
    with pytest.raises(OpenError, match=r"takes 1\.\d+ MB on disk but unpacks to 1\.07 GB") as caught:
        read_checkpoint(tmp_path / "w.pt")
    assert code_of(caught) == "file.unpacked"


def test_a_checkpoint_that_claims_to_lie_on_several_disks_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(10)}, tmp_path / "w.pt")
    data = (tmp_path / "w.pt").read_bytes()
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 2)
    end = data.rindex(b"PK\x05\x06")
    (tmp_path / "w.pt").write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(OpenError, match="damaged"):
        read_checkpoint(tmp_path / "w.pt")


def test_an_honest_checkpoint_that_was_packed_again_is_read(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as source,
        zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    assert (tmp_path / "w.pt").stat().st_size < 10_000
    assert read_checkpoint(tmp_path / "w.pt")["w"].shape == (1_000_000,)


def test_large_files_are_bounded_by_their_own_size_alone(tmp_path: Path) -> None:
    check_unpacked(tmp_path, 50 * LARGE, 50 * LARGE)
    check_unpacked(tmp_path, 50 * LARGE, 5 * LARGE)
    with pytest.raises(OpenError):
        check_unpacked(tmp_path, 50 * LARGE, LARGE)


def test_a_sparse_safetensors_file_is_measured_by_what_lies_on_disk(tmp_path: Path) -> None:
    table = json.dumps({"a": {"dtype": "F32", "shape": [LARGE], "data_offsets": [0, 4 * LARGE]}}).encode()
    with (tmp_path / "w.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(table)) + table)
        file.truncate(8 + len(table) + 4 * LARGE)
    with pytest.raises(OpenError) as caught:
        read_checkpoint(tmp_path / "w.safetensors")
    assert code_of(caught) == "file.unpacked"


class Allocates:
    def __reduce__(self) -> tuple[object, ...]:
        return bytearray, (3 * LARGE,)


def test_a_pickle_that_makes_bytes_needs_consent(tmp_path: Path) -> None:
    for how in (True, False):
        torch.save({"a": Allocates()}, tmp_path / "w.pt", _use_new_zipfile_serialization=how)
        with pytest.raises(OpenError) as caught:
            read_checkpoint(tmp_path / "w.pt")
        assert code_of(caught) == "checkpoint.pickle"


def test_a_dict_that_stands_in_many_places_is_compared_once() -> None:
    found = match(laughing(200, 3), {"t": (1,)}, "w.pt")
    assert found.fits


def test_arrays_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        bomb_member(archive, "x.npy", LARGE + 128, npy_head(f"({LARGE // 4},)", "<f4"))
    with pytest.raises(DataError, match="unpacks to"):
        load_arrays(tmp_path / "a.npz")


def test_an_array_that_is_shorter_than_its_shape_is_not_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy_head(f"({1 << 40},)", "<f4"))
    with pytest.raises(DataError, match="damaged"):
        load_arrays(tmp_path / "a.npz")


def test_masks_that_compress_well_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((500, 256, 256), np.uint8))
    assert load_arrays(tmp_path / "a.npz")["x"].shape == (500, 256, 256)


def test_idx_files_are_unpacked_as_far_as_their_head_says(tmp_path: Path) -> None:
    write_idx(folder := tmp_path / "mnist")
    (folder / "train-images-idx3-ubyte").unlink()
    head = struct.pack(">4B3I", 0, 0, 8, 3, LARGE // 64, 8, 8)
    data, check = packed_zeros(LARGE + len(head), head)
    end = struct.pack("<2I", check, LARGE + len(head))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + data + end)
    with pytest.raises(DataError, match="unpacks to"):
        open_task(TaskSpec("idx", str(folder)))
    honest = (folder / "t10k-images-idx3-ubyte").read_bytes()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(honest))
    ((_, images),) = named_arrays(open_task(TaskSpec("idx", str(folder))).example_inputs())
    assert images.shape[1:] == (1, 8, 8)


def test_parquet_that_says_one_large_value_often_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    image = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(image, "PNG")
    for padding, count in ((100_000, 20_000), (0, 60)):
        cells = pyarrow.DictionaryArray.from_arrays(np.zeros(count, np.int32), [image.getvalue() + bytes(padding)])
        table = pyarrow.table({"image": cells, "label": [n % 2 for n in range(count)]})
        parquet.write_table(table, tmp_path / f"{count}.parquet", store_schema=False)
    with pytest.raises(DataError, match=r"takes \S+ kB on disk but unpacks to 2 GB"):
        open_task(TaskSpec("parquet", str(tmp_path / "20000.parquet"))).example_inputs()
    open_task(TaskSpec("parquet", str(tmp_path / "60.parquet"))).example_inputs()


def test_an_image_of_few_bytes_and_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    pictures(tmp_path, random.Random(0))
    Image.new("1", (12_000, 12_000)).save(tmp_path / "left" / "0.png")
    reader = ImageReader(TaskSpec("folder", str(tmp_path), size=(8, 8)))
    with pytest.raises(DataError, match=r"0\.png takes .* unpacks to 576 MB"):
        reader.read([str(tmp_path / "left" / "0.png")])
    assert reader.read([str(tmp_path / "left" / "1.png")]).shape == (1, 3, 8, 8)


def test_postscript_that_is_called_an_image_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    with pytest.raises(DataError, match="not a readable image"):
        ImageReader(TaskSpec("folder", str(tmp_path))).read([str(tmp_path / "a.png")])


def test_a_folder_that_links_to_itself_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.png").touch()
    for number in range(4):
        (tmp_path / "a" / "b" / f"again {number}").symlink_to("../..")
    found = list(walked(tmp_path))
    assert [file for _, files in found for file in files] == ["1.png"]


def test_a_folder_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_limits, "FOLDERS", 10)
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(OpenError, match="more than 10 folders"):
        list(walked(tmp_path))


def test_json_that_is_nested_too_deeply_is_no_json(tmp_path: Path) -> None:
    text = "[" * 100_000 + "]" * 100_000
    for deep in (text, "[" * 101 + "]" * 101):
        with pytest.raises(ValueError, match="nested"):
            parse_json(deep)
    assert parse_json('[{"a": [1, {}]}, "[[[["]') == [{"a": [1, {}]}, "[[[["]
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(OpenError, match="nested too deeply"):
        read_recipe(tmp_path / "recipe.json")


def test_a_history_that_goes_round_in_a_circle_is_refused(tmp_path: Path) -> None:
    from tests.engine.sharing.made import made_history

    history, _ = made_history(tmp_path)
    history.write_to(tmp_path / "circle")
    log = tmp_path / "circle" / LOG
    records = [json.loads(line) for line in log.read_text().splitlines()]
    states = [one for one in records if one["event"] == "state"]
    first = states[0]["state"] | {"parent": states[1]["state"]["id"]}
    assert len(states) > 1 and states[1]["state"]["parent"] == first["id"]
    records.append({"event": "state", "state": first})
    log.write_text("".join(json.dumps(one) + "\n" for one in records))
    told: list[BaseException] = []

    def read() -> None:
        try:
            StateHistory(tmp_path / "circle").read()
        except OpenError as error:
            told.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(PATIENCE)
    assert not reader.is_alive() and "does not descend from the original" in str(told[0])

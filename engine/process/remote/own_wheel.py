"""This installation as a wheel again, for another machine: the files that run here are those that run there."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from importlib.resources import files
from pathlib import Path

NAME = "secateur"
PACKAGES = ("app", "engine", "resources")
COMPILED = "__pycache__"
DESCRIPTION = ("METADATA", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
"""What of a distribution's own files goes along; the others say how it was installed here."""
OF_CHECKOUT = {"METADATA": "PKG-INFO"}
"""What such a file is called in the `.egg-info` of a checkout, which is found first where Python starts there."""
WHEEL = "Wheel-Version: 1.0\nGenerator: secateur\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name() -> str:
    """The name of the file, by which pip knows what is in it."""
    return f"{NAME}-{distribution(NAME).version}-py3-none-any.whl"


def write_own_wheel(folder: Path) -> Path:
    """Write the wheel into a folder; also of a checkout that is installed as editable.

    https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    path, rows = folder / wheel_name(), list[tuple[str, str, int | str]]()
    about = distribution(NAME)
    described = f"{NAME}-{about.version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _content(about, described):
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", len(content)))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{described}/RECORD", "", "")])
        archive.writestr(f"{described}/RECORD", record.getvalue())
    return path


def _content(about: Distribution, described: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files but the record."""
    for package in PACKAGES:
        top = Path(str(files(f"{NAME}.{package}")))
        for path in sorted(path for path in top.rglob("*") if path.is_file() and COMPILED not in path.parts):
            yield f"{NAME}/{package}/{path.relative_to(top).as_posix()}", path.read_bytes()
    for name in DESCRIPTION:
        if text := about.read_text(name) or about.read_text(OF_CHECKOUT.get(name, name)):
            yield f"{described}/{name}", text.encode()
    yield f"{described}/WHEEL", WHEEL.encode()

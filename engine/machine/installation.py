"""How this Secateur was installed: how packages are added to it, and how a newer version takes its place.

Nothing is fetched, and nobody is asked: it goes by what the installers left beside it.
"""

import json
import shlex
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import Message

NAME = "secateur"
BILL = "sbom.json"
"""What a bundle (`packaging/build_bundle`) holds beside its Python, and no environment does."""
UV, PIPX = "uv-receipt.toml", "pipx_metadata.json"
"""What `uv tool` and `pipx` leave in the environments of the programs that they install."""


def version() -> str:
    """Of this Secateur, "" where it runs from a folder that was not installed."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return ""


def command_to_install(requirement: str, editable: bool = False) -> str:
    """The command that adds a package to the Python that runs this, whichever a terminal would take.

    Args:
        requirement: As pip takes it: a name, a file or a folder.
        editable: The folder is to run where it lies.
    """
    what = f"-e {shlex.quote(requirement)}" if editable else shlex.quote(requirement)
    name = Path(sys.executable).name
    program = name if shutil.which(name) == sys.executable else shlex.quote(sys.executable)
    if find_spec("pip") is None:  # as in the environments of `uv`
        return f"uv pip install --python {program} {what}"
    return f"{program} -m pip install {what}"


def how_to_update() -> Message:
    """What brings a newer version, as this one came."""
    prefix = Path(sys.prefix)
    if (prefix / BILL).is_file():
        template = "Updates are never fetched. Put the package or the folder of the newer version in place of {folder}."
        return Message("install.bundle", template, {"folder": str(prefix)})
    folder, editable = _source()
    if folder is None:
        command = command_to_install(f"{NAME}-VERSION-py3-none-any.whl")
        template = "Updates are never fetched. Install the wheel of the newer version: {command}"
        return Message("install.wheel", template, {"command": command})
    whole = f"{folder}[gui]"
    if (prefix / UV).is_file():
        command = f"uv tool install --reinstall {shlex.quote(whole)}"
    elif (prefix / PIPX).is_file():
        command = f"pipx install --force {shlex.quote(whole)}"
    else:
        command = command_to_install(whole, editable)
    template = "Updates are never fetched. Get the newer version in {folder}, then run: {command}"
    return Message("install.folder", template, {"folder": folder, "command": command})


def _source() -> tuple[str | None, bool]:
    """(folder that it was installed from, None for a wheel or an index; whether it runs from there)."""
    try:
        told: Any = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
        address, about = urlsplit(str(told["url"])), told["dir_info"]
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None, False
    if address.scheme != "file":
        return None, False
    return url2pathname(address.path), bool(about.get("editable"))

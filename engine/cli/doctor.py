"""`secateur doctor`: what is installed, what this machine computes with, what is missing and how it is brought.

Each package is loaded in a process of its own, one after the other: one that breaks is named, and breaks nothing here.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from subprocess import PIPE
from typing import Any

from packaging.requirements import Requirement

from ..machine.device_list import list_devices
from ..machine.installation import NAME, command_to_install, how_to_update
from ..session.measurement_cache import user_cache
from ..storage.file_limits import parse_json
from ..targets.bench import processor
from ..text.format import byte_size
from .output import Outcome, Reporter
from .tables import columns

EXTRAS = {
    "gui": "the window",
    "timm": "models of timm",
    "parquet": "Parquet files as data",
    "text": "tokenizers of language models",
    "detection": "mean average precision of detectors",
    "gguf": "GGUF files of the Llama family",
    "tensorboard": "training curves for TensorBoard",
    "openvino": "OpenVINO as a target and as a format",
    "executorch": "ExecuTorch as a format",
}
"""Extras that a user may want, and what each is for."""
MODULES = {
    "PySide6-Essentials": "PySide6.QtWidgets",
    "faster-coco-eval": "faster_coco_eval",
    "pillow": "PIL",
}
"""What is imported of a package, where it has another name than the package."""
LOADING = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, None]), flush=True)
    try:
        importlib.import_module(name)
        print(json.dumps([name, ""]), flush=True)
    except BaseException as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}".partition(chr(10))[0]]), flush=True)
"""
MOST = 300
"""Seconds that all packages together may take to load."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that Secateur needs or can use.

    Attributes:
        name: As it is installed by.
        extra: The extra that it belongs to; "" where Secateur cannot do without it.
        version: What is installed, "" for nothing.
        asked: The versions that are asked for, "" for any.
        fault: What is wrong with it, "" for nothing.
    """

    name: str
    extra: str
    version: str
    asked: str
    fault: str


def doctor(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Look at packages, devices and folders; a package that Secateur needs and that is missing or broken is a fault."""
    packages = list_packages(metadata.requires(NAME) or [])
    needed = [one for one in packages if not one.extra and one.fault]
    cache = user_cache()
    content: dict[str, Any] = {
        "command": "doctor",
        "version": metadata.version(NAME),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count() or 0,
        "devices": [] if needed else [asdict(one) for one in list_devices()],
        "packages": [asdict(one) for one in packages],
        "cache": str(cache),
        "free_disk": shutil.disk_usage(cache).free,
        "update": str(how_to_update()),
    }
    shortfall = "\n".join(f"{one.name}: {one.fault}. Install it: {command_for(one)}" for one in needed)
    # The same for a person, in sections.
    machine = [
        [NAME, content["version"]],
        ["Python", content["python"]],
        ["system", content["platform"]],
        ["processor", f"{content['processor']}, {content['cores']} cores"],
        ["cache", f"{content['cache']}, {content['free_disk'] / 1e9:.3g} GB free on its disk"],
    ]
    needed = [[f"  {one.name}", one.version or "-", one.fault] for one in packages if not one.extra]
    wanted = list[list[str]]()
    for extra, use in EXTRAS.items():
        own = [one for one in packages if one.extra == extra]
        state = ", ".join(f"{one.name} {one.version}".strip() + (f": {one.fault}" if one.fault else "") for one in own)
        faulty = next((one for one in own if one.fault), None)
        wanted.append([f"  {use}", state if faulty is None else f"{state}; {command_for(faulty)}"])
    devices = list[list[str]]()
    for one in content["devices"]:
        space = f"{byte_size(one['free'])} free of {byte_size(one['total'])}" if one["total"] else "memory unknown"
        load = "" if one["load"] is None else f", {100 * one['load']:.0f} % used"
        half = f"{one['half']}{'' if one['fast'] else ', slower than float32'}" if one["half"] else "float32 only"
        devices.append([f"  {one['name']}", one["title"] or "-", space + load, half])
    sections = (
        ("", columns(machine, left=2)),
        ("Computes with\n", columns(devices or [["  unknown"]], left=4)),
        ("Needed\n", columns(needed, left=3)),
        ("For\n", columns(wanted, left=2)),
    )
    return Outcome(content, "\n\n".join([*(title + rows for title, rows in sections), content["update"]]), shortfall)


def list_packages(requirements: Sequence[str]) -> list[Package]:
    """All packages of a list of requirements: those that are needed, then those of the extras that a user may want."""
    parsed, found = [Requirement(text) for text in requirements], list[Package]()
    for extra in ("", *EXTRAS):
        for one in parsed:
            marker = str(one.marker or "")
            if bool(extra) != ("extra" in marker) or not (one.marker is None or one.marker.evaluate({"extra": extra})):
                continue
            try:
                version = metadata.version(one.name)
                fault = "" if one.specifier.contains(version, prereleases=True) else f"{version} is not {one.specifier}"
            except metadata.PackageNotFoundError:
                version, fault = "", "not installed"
            found.append(Package(one.name, extra, version, str(one.specifier), fault))
    modules = {one.name: MODULES.get(one.name, one.name.replace("-", "_")) for one in found if one.version}
    faults = load(list(modules.values()))
    return [replace(one, fault=one.fault or faults.get(modules.get(one.name, ""), "")) for one in found]


def load(modules: Sequence[str]) -> dict[str, str]:
    """What happened to each module that was loaded in a process of its own, "" for nothing bad.

    One that takes the process down is named, and the others are loaded without it.
    """
    found, left = dict[str, str](), list(modules)
    while left:
        # -P: a folder `torch` in the working folder must not be imported in its place.
        command = [sys.executable, "-P", "-c", LOADING, *left]
        try:
            done = subprocess.run(command, stdout=PIPE, stderr=subprocess.DEVNULL, timeout=MOST, check=False)
            said = done.stdout
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
        lines = [parse_json(line) for line in said.splitlines() if line.startswith(b"[")]
        if not lines:
            return found | dict.fromkeys(left, "it was not tried: no process could be started")
        for name, fault in lines:
            found[name] = "the process that loads it dies or hangs" if fault is None else fault
        left = [name for name in left if name not in found]
    return found


def command_for(one: Package) -> str:
    """The command that installs a package for the Python that runs this."""
    return command_to_install(f"{one.name}{one.asked}" if not one.extra else f"{NAME}[{one.extra}]")

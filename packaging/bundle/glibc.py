"""Prints the oldest glibc that all files of a folder run with: python packaging/bundle/glibc.py FOLDER."""

import re
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

VERSION = re.compile(r"GLIBC_2\.(\d+)")


def oldest_glibc(folder: Path) -> str:
    """The newest version of glibc that a program or library below a folder asks for (`objdump` of binutils)."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and _is_elf(path))
    asked = (subprocess.run(["objdump", "-T", path], stdout=PIPE, text=True, check=True).stdout for path in files)
    return f"2.{max(int(minor) for text in asked for minor in VERSION.findall(text))}"


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


if __name__ == "__main__":
    print(oldest_glibc(Path(sys.argv[1])))

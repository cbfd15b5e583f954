"""Writes packaging/constraints.txt: every package that the README's two commands install, with the version of today.

    python packaging/make_constraints.py

A year later `PIP_CONSTRAINT=packaging/constraints.txt` before either command gives the same versions again. Written for
the Python that runs this; builds (`+cpu`) are left out, so that a machine takes the ones that suit it.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Made by packaging/make_constraints.py for Python {python}: the versions that this release was tested with.
# PIP_CONSTRAINT=packaging/constraints.txt before a command of the README installs them again.
"""


def main() -> None:
    """Ask pip what it would install, and write it down."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--report", "-"]
    asked = subprocess.run([*command, f"{ROOT}[gui,dev]"], stdout=subprocess.PIPE, check=True).stdout
    found = [one["metadata"] for one in json.loads(asked)["install"]]
    lines = [
        f"{one['name'].lower()}=={one['version'].partition('+')[0]}\n" for one in found if one["name"] != "secateur"
    ]
    header = HEADER.format(python=f"{sys.version_info.major}.{sys.version_info.minor}")
    (ROOT / "packaging" / "constraints.txt").write_text(header + "".join(sorted(lines)))


if __name__ == "__main__":
    main()

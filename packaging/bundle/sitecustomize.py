"""Where this Python looks for packages: its own first, then those that the user added to it, no other Python's.

`bin/python3 -m pip install NAME` of the bundle puts them there; the bundle's own folder stays as it was. The user's
packages of other Pythons are left out by the bundle's `pyvenv.cfg` (`build.py`).
"""

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path


def added(system: str, environment: Mapping[str, str], home: Path) -> tuple[Path, Path]:
    """(the prefix that the user's packages are installed below, the folder in it that they are found in)."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if system == "win32":
        prefix = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "secateur" / "packages"
        return prefix, prefix / "Lib" / "site-packages"
    if system == "darwin":
        prefix = home / "Library" / "Application Support" / "secateur" / "packages"
    else:
        prefix = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "secateur" / "packages"
    return prefix, prefix / "lib" / version / "site-packages"


prefix, packages = added(sys.platform, os.environ, Path("~").expanduser())
os.environ.setdefault("PIP_PREFIX", str(prefix))
site.addsitedir(str(packages))

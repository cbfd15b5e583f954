"""Where this Python looks for packages: its own first, then those that the user added to it, no other Python's.

`bin/python3 -m pip install NAME` of the bundle puts them there; the bundle's own folder stays as it was. The user's
packages of other Pythons are left out by the bundle's `pyvenv.cfg` (`build.py`).
"""

import os
import site
import sys
from pathlib import Path

ADDED = Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()) / "secateur" / "packages"

os.environ.setdefault("PIP_PREFIX", str(ADDED))
site.addsitedir(str(ADDED / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"))

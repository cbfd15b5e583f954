"""The Qt binding that is installed does not kill the program: PySide6 6.12.0 does, on Python 3.11."""

import subprocess
import sys

from tests.house.test_imports import needs_qt

CALLS = """
import sys
from PySide6.QtCore import QObject
thing, before = QObject(), sys.getrefcount(None)
for _ in range(200):
    thing.setObjectName("name")
print(before - sys.getrefcount(None))
"""


@needs_qt
def test_a_call_that_returns_nothing_takes_no_reference_from_none():
    result = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 100

"""Stands for the interpreter in a command that tests start by hand: `warm_start.python` names it.

`python -P start.py WORDS...`: where nothing is warm, the interpreter with WORDS takes this place.
"""

import os
import sys

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])

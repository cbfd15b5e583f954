"""The packages' names: the folders app/, engine/ and resources/ are imported as `secateur.app`, `secateur.engine`, `secateur.resources`.

Everything else stands in pyproject.toml, whose `find` cannot give found packages a prefix. tests/house holds this list against the folders.
"""

from setuptools import find_packages, setup

TOPS = ("app", "engine", "resources")

setup(
    packages=[
        f"secateur.{package}" for top in TOPS for package in (top, *(f"{top}.{sub}" for sub in find_packages(top)))
    ]
)

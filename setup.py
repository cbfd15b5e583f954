"""The packages' names: the folders app/, engine/ and resources/ are imported as `secateur.app` and so on.

Everything else stands in pyproject.toml, whose `find` cannot give the packages that it finds a prefix. A test in
tests/house holds this list against the folders.
"""

from setuptools import find_packages, setup

TOPS = ("app", "engine", "resources")

setup(
    packages=[
        f"secateur.{package}" for top in TOPS for package in (top, *(f"{top}.{sub}" for sub in find_packages(top)))
    ]
)

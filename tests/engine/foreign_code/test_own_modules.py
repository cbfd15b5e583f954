"""The modules that a file imports from its own project, found without running anything."""

from pathlib import Path

import pytest

from secateur.engine.foreign_code.sys_path import own_modules

FILES = {
    "net/pyproject.toml": "",
    "net/scripts/model.py": "import torch, shapes\nfrom parts import *\nfrom blocks.deep import conv\nimport common",
    "net/scripts/shapes.py": "import model",  # in a circle
    "net/scripts/parts.py": "raise SystemExit",  # never run
    "net/scripts/unused.py": "",
    "net/scripts/blocks/deep/__init__.py": "from ..wide import wide",
    "net/scripts/blocks/deep/conv.py": "this is no Python",
    "net/scripts/blocks/wide.py": "",
    "net/common.py": "",
    "net/unused.py": "",
    "net/package/__init__.py": "",
    "net/package/inner/__init__.py": "",
    "net/package/inner/model.py": "from . import layers\nfrom ..tools.sizes import size",
    "net/package/inner/layers.py": "",
    "net/package/tools/sizes.py": "",
    "site-packages/model.py": "import torch",
    "site-packages/torch.py": "",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (
            "net/scripts/model.py",
            {
                "net/scripts": "model.py shapes.py parts.py blocks/deep/__init__.py blocks/deep/conv.py blocks/wide.py",
                "net": "common.py",
            },
        ),
        (
            "net/package/inner/model.py",
            {"net": "__init__.py inner/__init__.py inner/model.py inner/layers.py tools/sizes.py"},
        ),
        ("site-packages/model.py", {"site-packages": "model.py"}),
    ],
)
def test_what_is_imported_is_found_where_it_is_imported_from(written: Path, file: str, wanted: dict[str, str]) -> None:
    inside = "package/" if "package/" in file else ""
    expected = {written / at / inside / one: written / at for at, names in wanted.items() for one in names.split()}
    assert own_modules(written / file) == expected

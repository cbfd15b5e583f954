"""Where a project can be saved is known before the work."""

from pathlib import Path

import pytest

from secateur.engine.cli.prune import check_save
from secateur.engine.errors import ExportError


def test_folders_above_a_project_need_not_exist(tmp_path: Path) -> None:
    check_save(str(tmp_path / "new" / "deep" / "project"))
    assert not any(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ExportError):
        check_save(str(tmp_path / "taken" / "deep" / "project"))

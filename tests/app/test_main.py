"""How the program starts: what it opens, where it needs no window, and what it says where it cannot show one."""

import os
import subprocess
import sys
from typing import Any

import pytest

from secateur.app import main as program
from secateur.app.storage.open_target import source_of
from secateur.engine.cli.arguments import parser
from secateur.engine.cli.commands import COMMANDS
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        ([], ModelSpec("bundled:resnet")),
        (["--empty"], None),
        (["torchvision:resnet18"], ModelSpec("torchvision:resnet18")),
        (
            ["net.py:make", "--weights", "net.pt", "--input", "1x3x32x32", "--task", "bundled"],
            ModelSpec("net.py:make", "net.pt", (1, 3, 32, 32), task=TaskSpec("bundled")),
        ),
    ],
)
def test_what_the_window_opens(arguments, model):
    assert program.model_of(arguments) == model


def test_data_on_another_machine_is_left_to_the_engine_there() -> None:
    words = ["/no/such/net.py:build", "--task", "/no/such/images", "--mean", "0.5", "--input", "1x3x32x32"]
    spec = program.model_of(words, elsewhere=True)
    task = TaskSpec("", "/no/such/images", mean=(0.5,), size=(32, 32), batch=0)
    assert spec is not None and spec.task == task
    sample = program.model_of(["bundled:resnet", "--task", "bundled"], elsewhere=True)
    assert sample is not None and sample.task == TaskSpec("bundled")


def test_every_command_of_the_command_line_is_one():
    commands: Any = next(one for one in parser()._actions if one.dest == "command")
    assert commands.choices.keys() == COMMANDS.keys()


def test_an_option_that_does_not_exist_is_told_by_the_exit_code():
    done = run(
        "import sys\nfrom secateur.app.main import main\nsys.exit(main(['--colour']))", QT_QPA_PLATFORM="offscreen"
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_version_and_help_need_neither_qt_nor_torch():
    code = (
        "import sys\nfrom secateur.app.main import main\n"
        "assert main(['--version']) == 0 and main(['--help']) == 0\n"
        "assert not any(m.split('.')[0] in ('PySide6', 'torch') for m in sys.modules)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("secateur 0") and "secateur [MODEL]" in done.stdout and "prune" in done.stdout


def test_the_command_line_loads_no_qt():
    code = (
        "import sys\nfrom secateur.app.main import main\nmain(['inspect', '--help'])\n"
        "assert not any(m.startswith('PySide6') for m in sys.modules)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_the_window_is_imported_without_torch_scipy_onnx_and_plots():
    code = (
        "import sys\nimport secateur.app.startup.application\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'onnx', 'onnxruntime', 'pyqtgraph', 'msgspec', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = run(code, QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux may have no display")
def test_without_a_display_the_demonstration_runs_without_a_window():
    code = (
        "import sys, types\nfake = types.ModuleType('demo')\nfake.demo = lambda folder: print(folder) or 7\n"
        "sys.modules['secateur.engine.cli.demo'] = fake\n"
        "from secateur.app.main import main\n"
        "code = main([])\nassert code == 7, code\n"
        "assert not any(m.startswith('PySide6') for m in sys.modules)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == program.DEMONSTRATION


def test_without_pyside_it_says_how_to_get_it():
    code = (
        "import importlib.util, sys\n"
        "importlib.util.find_spec = lambda name: None\n"
        "from secateur.app.main import main\nsys.exit(main([]))"
    )
    done = run(code, QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 1 and "pip install" in done.stderr and "Traceback" not in done.stderr


def test_a_file_of_a_hugging_face_folder_means_the_folder(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.touch()
    assert source_of(str(weights)) is None  # without a configuration they are bare weights
    (tmp_path / "config.json").touch()
    for file in (weights, tmp_path / "config.json"):
        assert source_of(str(file)) == ModelSpec(str(tmp_path))


def test_folders_and_names_are_opened_and_bare_files_are_asked_about(tmp_path):
    assert source_of(str(tmp_path)) == ModelSpec(str(tmp_path))
    assert source_of("torchvision:resnet18") == ModelSpec("torchvision:resnet18")
    assert source_of("net.py:make") == ModelSpec("net.py:make")
    assert source_of("net.py") is None and source_of("net.th") is None

"""Models in a user's own files: names, neighbours, packages, paths, and errors with their line."""

import sys
import textwrap

import pytest
import torch

from secateur.engine.errors import OpenError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.foreign_code.import_file import import_file
from secateur.engine.sources.open import factory_code, open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.sources.python_file import parse

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=4, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def model(width=8):
    return Net(width=width)
"""


@pytest.fixture(autouse=True)
def clean_imports():
    """What user code brings into the interpreter ends with the test."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if name.partition(".")[0] != "secateur" and not name.startswith("torch"):
            del sys.modules[name]
    sys.modules.update(modules)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def opened(source, **options):
    return open_model(ModelSpec(str(source), **options))


def refused(source, **options):
    with pytest.raises(OpenError) as caught:
        opened(source, **options)
    return caught.value


def test_a_drive_letter_is_part_of_the_path():
    file, name = parse("C:\\x\\m.py:make")
    assert (str(file), name) == ("C:\\x\\m.py", "make")
    assert parse("a/b.py")[1] == "model"
    assert parse("C:\\x\\m.py")[1] == "model"


@pytest.mark.parametrize("name", ["model", "Net", "built", "Zoo.small"])
def test_function_class_module_and_nested_name_all_open(tmp_path, name):
    file = write(tmp_path / "m.py", NET + "\nbuilt = Net()\nclass Zoo:\n    small = Net\n")
    found = opened(f"{file}:{name}", input_shape=(1, 3, 8, 8))
    assert type(found.model).__name__ == "Net" and not found.model.training
    assert found.model(torch.ones(2, 3, 8, 8)).shape == (2, 4)
    assert found.input_shape == (2, 3, 8, 8) and found.name == f"m.py:{name}"


def test_the_factory_makes_a_fresh_module_of_the_same_class_and_shape(tmp_path):
    found = opened(f"{write(tmp_path / 'm.py', NET)}:model", arguments={"width": 6})
    fresh = found.factory()
    assert type(fresh) is type(found.model) and fresh is not found.model
    assert fresh.conv.out_channels == 6 and fresh.conv.weight.data_ptr() != found.model.conv.weight.data_ptr()


def test_random_weights_are_the_same_ones_each_time(tmp_path):
    file = write(tmp_path / "m.py", NET)
    first = opened(file).model
    torch.rand(1)
    state = torch.get_rng_state()
    second = opened(file).model
    assert torch.equal(first.conv.weight, second.conv.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_users_own_engine_app_and_utils_import_under_their_names(tmp_path):
    write(tmp_path / "engine.py", "WIDTH = 5\n")
    write(tmp_path / "app/sizes.py", "CLASSES = 3\n")
    write(tmp_path / "utils.py", "def seven():\n    return 7\n")
    file = write(
        tmp_path / "m.py",
        NET + "import engine, utils\nfrom app.sizes import CLASSES\n"
        "def make():\n    from utils import seven\n    return Net(CLASSES * seven(), engine.WIDTH)\n",
    )
    model = opened(f"{file}:make").model
    assert (model.fc.out_features, model.conv.out_channels) == (21, 5)


def test_a_second_project_gets_its_own_utils(tmp_path):
    for name, width in (("one", 3), ("two", 9)):
        write(tmp_path / name / "utils.py", f"WIDTH = {width}\n")
        write(tmp_path / name / "m.py", NET + "from utils import WIDTH\ndef make():\n    return Net(width=WIDTH)\n")
    assert opened(f"{tmp_path}/one/m.py:make").model.conv.out_channels == 3
    assert opened(f"{tmp_path}/two/m.py:make").model.conv.out_channels == 9
    assert str(tmp_path / "one") not in sys.path


def test_a_file_that_was_edited_is_read_again(tmp_path):
    file = write(tmp_path / "m.py", NET)
    assert opened(file).model.conv.out_channels == 8
    write(file, NET.replace("def model(width=8)", "def model(width=10 + 1)"))
    assert opened(file).model.conv.out_channels == 11


def test_a_further_file_joins_the_models_project_and_takes_nothing_from_it(tmp_path):
    write(tmp_path / "one/utils.py", "WIDTH = 3\n")
    write(tmp_path / "one/late.py", "SHIFT = 2\n")
    lazy = "class Lazy(Net):\n    def forward(self, x):\n        import late\n"
    lazy += "        return super().forward(x) * 0 + late.SHIFT\n"
    file = write(tmp_path / "one/m.py", NET + "import utils\n" + lazy)
    model = opened(f"{file}:Lazy").model
    mine = sys.modules["m"]
    write(tmp_path / "two/utils.py", "WIDTH = 9\n")
    task = import_file(write(tmp_path / "two/task.py", "import utils\n"), FULL_CONSENT)
    assert task.utils.WIDTH == 9 and mine.utils.WIDTH == 3
    assert model(torch.ones(2, 3, 8, 8)).unique().tolist() == [2.0]
    beside = import_file(write(tmp_path / "one/task.py", "import m\n"), FULL_CONSENT)
    assert beside.m is mine and sys.modules["m"] is mine


def test_relative_imports_work_in_a_package(tmp_path):
    write(tmp_path / "zoo/__init__.py", "")
    write(tmp_path / "zoo/nets/__init__.py", "")
    write(tmp_path / "zoo/sizes.py", "WIDTH = 12\n")
    file = write(
        tmp_path / "zoo/nets/m.py", NET + "from ..sizes import WIDTH\ndef make():\n    return Net(width=WIDTH)\n"
    )
    model = opened(f"{file}:make").model
    assert model.conv.out_channels == 12 and type(model).__module__ == "zoo.nets.m"


@pytest.mark.parametrize("marked", [True, False])
def test_imports_from_the_projects_root_work_in_a_sub_folder(tmp_path, monkeypatch, marked):
    if marked:
        write(tmp_path / "pyproject.toml", "")
    else:
        monkeypatch.chdir(tmp_path)
    write(tmp_path / "nets/blocks.py", "WIDTH = 13\n")
    file = write(
        tmp_path / "nets/m.py", NET + "from nets.blocks import WIDTH\ndef make():\n    return Net(width=WIDTH)\n"
    )
    assert opened(f"{file}:make").model.conv.out_channels == 13
    names: dict = {"sys": sys, "folder": str(tmp_path / "out")}
    exec(factory_code(ModelSpec(f"{file}:make"), tmp_path / "out").lines, names)
    assert names["make_model"]().conv.out_channels == 13


@pytest.mark.parametrize("place", ["a.b.py", ".hidden.py", "resnet.v2.0.py", "pkg/a.b.py", "pkg/inner/a.b.py"])
def test_a_file_with_dots_in_its_name_opens_also_in_a_package(tmp_path, place):
    file = tmp_path / place
    write(file.parent / "sizes.py", "width = 13\n")
    for folder in file.relative_to(tmp_path).parents[:-1]:
        write(tmp_path / folder / "__init__.py", "")
    imported = "from .sizes import width\n" if place.startswith("pkg") else "from sizes import width\n"
    write(file, imported + NET + "\ndef make():\n    return Net(width=width)\n")
    made = opened(f"{file}:make")
    assert made.model.conv.out_channels == 13
    assert sys.modules[type(made.model).__module__].Net is type(made.model)  # as copies and pickles look for it
    (tmp_path / "out").mkdir()
    names: dict = {"sys": sys, "folder": str(tmp_path / "out")}
    exec(factory_code(ModelSpec(f"{file}:make"), tmp_path / "out").lines, names)
    assert names["make_model"]().conv.out_channels == 13


def test_a_file_named_like_an_installed_package_does_not_replace_it(tmp_path):
    file = write(tmp_path / "json.py", NET)
    import json

    assert opened(file).model.conv.out_channels == 8
    assert sys.modules["json"] is json


def test_a_syntax_error_names_file_and_line(tmp_path):
    file = write(tmp_path / "m.py", "import torch\n\ndef model(:\n    pass\n")
    assert f"{file}, line 3: SyntaxError" in str(refused(file))


def test_an_error_in_a_neighbour_names_the_neighbours_line(tmp_path):
    write(tmp_path / "utils.py", "x = 1\ny = x / 0\n")
    file = write(tmp_path / "m.py", "import utils\n")
    assert f"{tmp_path / 'utils.py'}, line 2: ZeroDivisionError: division by zero" in str(refused(file))


def test_a_missing_package_names_the_importing_line(tmp_path):
    file = write(tmp_path / "m.py", "import torch\nimport surely_not_installed\n")
    error = refused(file)
    assert f"{file}, line 2: ModuleNotFoundError" in str(error) and "surely_not_installed" in str(error)


def test_a_constructor_that_raises_names_its_line(tmp_path):
    file = write(tmp_path / "m.py", "def model():\n    x = {}\n    return x['width']\n")
    error = refused(file)
    assert f"{file}, line 3: KeyError: 'width'" in str(error) and "Traceback" in error.details


def test_a_file_that_exits_is_an_error_and_not_the_end(tmp_path):
    file = write(tmp_path / "m.py", "import sys\nsys.exit(3)\n")
    assert "line 2: SystemExit" in str(refused(file))


def test_a_wrong_name_lists_what_the_file_offers(tmp_path):
    error = refused(f"{write(tmp_path / 'm.py', NET)}:modle")
    assert "'modle'" in str(error) and "Net, model" in str(error)


def test_something_else_than_a_module_is_refused(tmp_path):
    file = write(tmp_path / "m.py", "def model():\n    return {'weights': 1}\n")
    assert "returned dict, not a torch.nn.Module" in str(refused(file))


def test_arguments_that_do_not_fit_show_the_signature(tmp_path):
    file = write(tmp_path / "m.py", "def model(width, depth=3):\n    return None\n")
    assert "(width, depth=3)" in str(refused(file)) and "'width'" in str(refused(file))


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert str(tmp_path / "gone.py") in str(refused(tmp_path / "gone.py"))


def test_a_torchscript_module_is_refused(tmp_path):
    file = write(tmp_path / "m.py", "import torch\nmodel = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2))\n")
    assert refused(file).message.code in ("source.script", "source.copy")


def test_double_precision_models_open_as_float32(tmp_path):
    file = write(tmp_path / "m.py", NET + "def make():\n    return Net().double().train()\n")
    model = opened(f"{file}:make").model
    assert model.conv.weight.dtype == torch.float32 and not model.training


def test_a_checkpoint_with_other_classes_builds_the_model_for_them(tmp_path):
    file = write(tmp_path / "m.py", NET)
    weights = opened(f"{file}:Net", arguments={"num_classes": 9}).model.state_dict()
    torch.save({"state_dict": {f"module.{k}": v + 1 for k, v in weights.items()}}, tmp_path / "w.th")
    found = opened(f"{file}:Net", weights=str(tmp_path / "w.th"))
    assert found.model.fc.out_features == 9 and found.factory().fc.out_features == 9
    assert torch.equal(found.model.fc.weight, weights["fc.weight"] + 1)
    assert any("9 classes" in str(n) for n in found.notes)
    assert found.spec is not None and found.spec.arguments == {"num_classes": 9}


def test_other_classes_are_refused_where_the_callable_has_no_argument_for_them(tmp_path):
    file = write(tmp_path / "m.py", NET)
    torch.save(opened(f"{file}:Net", arguments={"num_classes": 9}).model.state_dict(), tmp_path / "w.pt")
    error = refused(f"{file}:model", weights=str(tmp_path / "w.pt"))
    assert "fc.weight: [4, 8] in the model, [9, 8] in the checkpoint" in error.details

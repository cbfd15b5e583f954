"""Nothing of a stranger's runs, nothing of the user's is overwritten, nothing is downloaded: every entrance, by hand.

A stranger's code here writes a file `ran` beside itself, so that a test sees whether it was executed by whatever road.
"""

import contextlib
import importlib._bootstrap_external as bootstrap
import json
import py_compile
import shutil
import socket
import subprocess
import zipfile
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.foreign_code import consent
from secateur.engine.jobs import finish
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.recipes.replay import apply_recipe, open_recipe
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import LOG, StateHistory
from secateur.engine.sharing.session_files import save_project, save_recipe
from secateur.engine.sources.open import unpack
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import from_identities
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.measure import measurable
from tests.engine.session.small import CODE, write_project
from tests.warm_start import python

pytestmark = pytest.mark.usefixtures("few_images")
EVIL = "import pathlib\n(pathlib.Path(__file__).parent / 'ran').write_text('x')\n" + CODE
FILTERS = "filter|block.conv1.weight|0"
ASKED = "if you trust the code"
Capture = pytest.CaptureFixture[str]


def written(folder: Path, source: str = "evil.py:make", *steps: dict[str, Any], **more: Any) -> Path:
    """A stranger's recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {"source": source, "input_shape": [1, 1, 8, 8], "trust_code": True, **more}
    first = {"step": "open", "intent": {"model": model}}
    (folder / "recipe.json").write_text(json.dumps({"schema": 1, "steps": [first, *steps]}))
    return folder / "recipe.json"


def plan() -> list[dict[str, Any]]:
    """The steps of a cut."""
    marks = {"step": "plan", "intent": {}, "outcome": {"removed": {FILTERS: [1, 2, 3]}}}
    return [marks, {"step": "cut", "intent": {}}]


def ran(folder: Path) -> bool:
    return any(folder.rglob("ran"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A project that this user made: cut and saved."""
    session = Session()
    opened = finish(session.open(write_project(tmp_path / "mine")))
    cut = finish(session.cut("s0", from_identities(opened.analysis, {FILTERS: [1, 2, 3]})[0]))
    finish(save_project(session, str(tmp_path / "mine" / "project"), cut.id))
    session.close()
    return tmp_path / "mine" / "project"


# What is imported.


@pytest.mark.parametrize("whole", [False, True])
def test_a_recipe_from_elsewhere_runs_the_file_it_names_with_consent_only(
    tmp_path: Path, capsys: Capture, whole: bool
) -> None:
    path = written(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    asked = str(tmp_path if whole else path)
    assert main(["run", asked]) == 2 and not ran(tmp_path)
    said = capsys.readouterr().err
    assert ASKED in said and "evil.py" in said and "--trust-code" in said
    assert main(["run", asked, "--trust-code"]) == 0 and ran(tmp_path)


@pytest.mark.parametrize("place", ["task.pyc", "task.so", "pkg/data.txt", "task.py", "task"])
def test_the_task_of_a_recipe_runs_with_consent_only_whatever_it_is_called(
    tmp_path: Path, capsys: Capture, place: str
) -> None:
    task = tmp_path / place
    task.parent.mkdir(exist_ok=True)
    source = tmp_path / "source.txt"
    source.write_text(EVIL.replace("__file__", repr(str(source))) + "def evaluate(model): return 1.0\n")
    if place.endswith("pyc"):
        py_compile.compile(str(source), str(task), doraise=True)
    else:
        shutil.copy(source, task)
    if place.startswith("pkg"):
        shutil.copy(source, task.parent / "__init__.py")
        shutil.copy(source, task.with_suffix(".py"))
    path = written(tmp_path, "bundled:resnet", task={"kind": "file", "path": place})
    assert main(["run", str(path)]) == 2 and not ran(tmp_path)
    assert ASKED in capsys.readouterr().err
    trusted = main(["run", str(path), "--trust-code"])
    assert ran(tmp_path) == place.endswith(".py"), (trusted, capsys.readouterr().err)


def test_a_stock_baseline_of_a_recipe_runs_its_file_with_consent_only(tmp_path: Path, capsys: Capture) -> None:
    baseline = {"step": "baseline", "intent": {"kind": "stock", "source": "evil.py:make", "epochs": 0}}
    path = written(tmp_path, "bundled:resnet", baseline)
    (tmp_path / "evil.py").write_text(EVIL)
    assert main(["run", str(path)]) == 2 and not ran(tmp_path)
    assert ASKED in capsys.readouterr().err
    session = Session()
    finish(session.open(ModelSpec("bundled:resnet"), evaluate=False))
    with pytest.raises(OpenError, match=ASKED):
        finish(apply_recipe(session, str(path)))
    assert not ran(tmp_path)
    session.close()


def test_a_stock_baseline_of_a_bundle_runs_its_file_with_consent_only(saved: Path, tmp_path: Path) -> None:
    bundle, away = tmp_path / "own.zip", tmp_path / "away"
    away.mkdir()
    assert main(["bundle", str(saved), "--out", str(bundle)]) == 0
    with_step(bundle, away / "share.zip", {"step": "baseline", "intent": {"kind": "stock", "source": "evil.py:make"}})
    (away / "evil.py").write_text(EVIL)
    source = f"{tmp_path / 'mine' / 'model.py'}:make"
    assert main(["run", str(away / "share.zip"), "--model", source]) == 2 and not ran(away)
    session = Session()
    with pytest.raises(OpenError, match=ASKED):
        finish(open_recipe(session, str(away / "share.zip"), source=source))
    assert not ran(away)
    session.close()


def with_step(bundle: Path, path: Path, step: dict[str, Any]) -> None:
    """A bundle with a further step in its recipe, sound by its own hashes."""
    import hashlib

    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    recipe = json.loads(members["recipe.json"])
    recipe["steps"].append(step)
    members["recipe.json"] = json.dumps(recipe).encode()
    manifest = json.loads(members["bundle.json"])
    for one in manifest["files"]:
        if one["name"] == "recipe.json":
            one.update(size=len(members["recipe.json"]), sha256=hashlib.sha256(members["recipe.json"]).hexdigest())
    members["bundle.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_bytecode_beside_a_file_is_not_run_in_its_place(tmp_path: Path) -> None:
    """The user reads model.py and trusts it; Python would take what lies in __pycache__ instead."""
    (tmp_path / "evil.txt").write_text(EVIL)
    for name in ("model", "helper"):
        (tmp_path / f"{name}.py").write_text(CODE if name == "helper" else "from helper import make\n")
        cached = Path(bootstrap.cache_from_source(str(tmp_path / f"{name}.py")))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(tmp_path / "evil.txt"), str(cached), str(tmp_path / f"{name}.py"), True, -1, mode)
    session = Session()
    finish(session.open(ModelSpec(f"{tmp_path / 'model.py'}:make", input_shape=(1, 1, 8, 8))))
    finish(
        export_state(session, "s0", "pytorch", str(tmp_path / "out"))
    )  # its check imports the model in another process
    session.close()
    assert not ran(tmp_path)


def test_own_recipes_and_projects_open_without_a_question_and_those_of_others_do_not(
    saved: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["run", str(saved)]) == 0
    assert main(["run", str(saved / "recipe.json")]) == 0
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "mine", elsewhere)
    assert main(["run", str(elsewhere / "project")]) == 2
    assert ASKED in capsys.readouterr().err
    content = json.loads((saved / "recipe.json").read_text())
    content["steps"][0]["intent"]["model"]["arguments"] = {"classes": 4}  # not what this user wrote
    (saved / "recipe.json").write_text(json.dumps(content))
    assert main(["run", str(saved)]) == 2


def test_a_recipe_is_never_sealed_for_code_that_this_user_did_not_name(saved: Path, tmp_path: Path) -> None:
    """A baseline in a stranger's history must not become this user's own word by being written down again."""
    (tmp_path / "evil.py").write_text(EVIL)
    session = Session()
    opened = finish(session.open(ModelSpec("bundled:resnet"), evaluate=False))
    foreign = read_recipe(written(tmp_path / "r", "../evil.py:make")).steps[0]
    session.history.spec = foreign.intent.model  # type: ignore[union-attr]
    save_recipe(session, opened.state.id, str(tmp_path / "r" / "again.json"))
    assert main(["run", str(tmp_path / "r" / "again.json")]) == 2 and not ran(tmp_path)
    session.close()


def test_files_to_measure_in_a_strangers_project_are_not_loaded(saved: Path, tmp_path: Path) -> None:
    """`measure PROJECT` keeps parcels in the project's folder: one that lies there already may hold a pickle."""
    session = Session(saved)
    finish(session.open(ModelSpec(str(saved)), evaluate=False))
    artifacts, model, state = measurable(session, "s0")
    target = TargetSpec("torch")
    parcel = finish(artifacts.file(model, state, target, _never()))
    (parcel / "module.pt").write_bytes(b"a stranger's pickle")
    again = finish(artifacts.file(model, state, target, _never()))
    assert again == parcel and not (parcel / "module.pt").exists()
    (tmp_path / "evil.py").write_text(EVIL)
    content = json.loads((parcel / "shapes.json").read_text())
    content["source"]["source"] = str(tmp_path / "evil.py") + ":make"
    (parcel / "shapes.json").write_text(json.dumps(content))
    finish(artifacts.file(model, state, target, _never()))
    assert "evil" not in (parcel / "shapes.json").read_text()
    session.close()


def _never() -> Any:
    from secateur.engine.jobs import NeverCancelled

    return NeverCancelled()


def test_a_session_journal_runs_code_by_its_seal_only(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    shutil.copytree(saved, folder)
    (tmp_path / "evil.py").write_text(EVIL)
    lines = (folder / LOG).read_text().splitlines()
    first = json.loads(lines[0])
    first["spec"] |= {"source": "../evil.py:make", "trust_code": True, "trust_pickle": True, "task": None}
    (folder / LOG).write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    session = Session(folder)
    with pytest.raises(OpenError, match=ASKED):
        finish(session.restore())
    assert not ran(tmp_path)
    session.close()


def test_a_script_of_a_recipe_from_elsewhere_runs_its_file_with_consent_only(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    script = tmp_path / "script.py"
    assert main(["script", str(written(tmp_path)), "--out", str(script)]) == 0
    done = subprocess.run(python(str(script)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "evil.py" in done.stderr and "--trust-code" in done.stderr and not ran(tmp_path)
    assert subprocess.run(python(str(script), "--trust-code"), timeout=120, check=False).returncode == 0
    assert ran(tmp_path)
    assert main(["script", str(saved), "--out", str(script), "--overwrite"]) == 0  # the user's own asks nothing
    assert "--trust-code" not in script.read_text()


# What becomes code.


NAME = "x=None) + __import__('pathlib').Path({place!r}).write_text('x') #"


@pytest.mark.parametrize("source", ["model.py:make", "bundled:resnet"])
def test_names_of_arguments_become_no_code(tmp_path: Path, source: str, capsys: Capture) -> None:
    (tmp_path / "model.py").write_text(CODE.replace("def make(classes=3)", "def make(classes=3, **more)"))
    export = {"step": "export", "intent": {"format": "pytorch", "path": "out"}}
    arguments = {NAME.format(place=str(tmp_path / "ran")): None}
    path = written(tmp_path, source, *plan(), export, arguments=arguments)
    assert main(["run", str(path), "--trust-code"]) == 2 and not ran(tmp_path)
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_name_becomes_no_code(tmp_path: Path) -> None:
    name = "a import make as found; open('ran', 'w') #.py"
    (tmp_path / name).write_text(CODE)
    session = Session()
    finish(session.open(ModelSpec(f"{tmp_path / name}:make", input_shape=(1, 1, 8, 8))))
    finish(export_state(session, "s0", "pytorch", str(tmp_path / "out")))
    assert not ran(tmp_path) and (tmp_path / "out" / "README.txt").is_file()
    session.close()


def test_names_of_inputs_become_no_code(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 2)\n\n"
        "    def forward(self, **given):\n        return self.two(self.one(next(iter(given.values()))).relu())\n\n\n"
        "def example_inputs():\n    return {NAME: torch.zeros(2, 4)}\n\n\ndef evaluate(model):\n    return 1.0\n\n\n"
    )
    name = f"x\nopen({str(tmp_path / 'ran')!r}, 'w') #"
    code += f"NAME = {name!r}\n"
    (tmp_path / "net.py").write_text(code)
    session = Session()
    finish(session.open(ModelSpec(f"{tmp_path / 'net.py'}:Net", task=TaskSpec("file", str(tmp_path / "net.py")))))
    with contextlib.suppress(SecateurError):
        finish(export_state(session, "s0", "pytorch", str(tmp_path / "out")))
    assert not ran(tmp_path)
    session.close()


# What is written.


@pytest.mark.parametrize("place", ["../x.onnx", "ABSOLUTE", "link/x.onnx"])
def test_a_recipe_writes_into_its_own_folder_alone(tmp_path: Path, capsys: Capture, place: str) -> None:
    folder, outside = tmp_path / "given", tmp_path / "x.onnx"
    folder.mkdir()
    outside.write_text("mine")
    (folder / "link").symlink_to(tmp_path)
    export = {"step": "export", "intent": {"format": "onnx", "path": place.replace("ABSOLUTE", str(outside))}}
    path = written(folder, "bundled:resnet", export, input_shape=[])
    assert main(["run", str(path)]) == 2
    said = capsys.readouterr().err
    assert outside.read_text() == "mine" and "--out" in said and "Traceback" not in said
    out = tmp_path / "there"
    out.mkdir()
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert (out / "x.onnx").is_file() and outside.read_text() == "mine"


def test_an_existing_file_is_replaced_only_when_the_user_says_so(tmp_path: Path, capsys: Capture) -> None:
    own = tmp_path / "x.onnx"
    own.write_text("mine")
    export = {"step": "export", "intent": {"format": "onnx", "path": "x.onnx"}}
    path = written(tmp_path, "bundled:resnet", export, input_shape=[])
    commands = [
        ["run", str(path)],
        ["prune", "bundled:resnet", "--no-recover", "--export", str(own)],
        ["script", str(path), "--out", str(own)],
    ]
    for command in commands:
        assert main(command) == 1, command
        said = capsys.readouterr().err
        assert own.read_text() == "mine" and "x.onnx" in said and "--overwrite" in said
    assert main([*commands[0], "--overwrite"]) == 0 and own.read_bytes()[:4] != b"mine"
    assert main([*commands[2], "--overwrite"]) == 0 and "session" in own.read_text()


def test_a_report_and_a_bundle_replace_nothing_unasked(saved: Path, tmp_path: Path, capsys: Capture) -> None:
    own = tmp_path / "mine.zip"
    for command in ("report", "bundle"):
        own.write_text("mine")
        assert main([command, str(saved), "--out", str(own)]) == 1 and own.read_text() == "mine"
        assert "--overwrite" in capsys.readouterr().err
        assert main([command, str(saved), "--out", str(own), "--overwrite"]) == 0


def test_saving_replaces_no_file_in_a_folder_that_is_no_project(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "recipe.json").write_text("mine")
    command = ["prune", "bundled:resnet", "--no-recover", "--save", str(folder)]
    assert main(command) == 1 and (folder / "recipe.json").read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["../../secret", "/etc/passwd", "x" * 64])
def test_weights_of_a_state_stay_in_their_folder(saved: Path, weights: str) -> None:
    lines = (saved / LOG).read_text().splitlines()
    last = json.loads(lines[-1])
    last["state"]["weights"] = weights
    (saved / LOG).write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    for work in (lambda s: s.open(ModelSpec(str(saved)), evaluate=False), lambda s: s.restore()):
        session = Session(saved)
        with pytest.raises(OpenError, match="weights"):
            finish(work(session))
        session.close()


# What is fetched.


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Whoever asks for an address is written down and gets none."""
    asked: list[Any] = []

    def refused(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HTTPS_PROXY", "")
    return asked


def test_a_builder_of_a_library_is_given_no_weights_to_fetch(
    tmp_path: Path, capsys: Capture, no_network: list[Any]
) -> None:
    arguments = {"weights_backbone": "DEFAULT"}
    path = written(tmp_path, "torchvision:deeplabv3_resnet50", arguments=arguments, input_shape=[1, 3, 64, 64])
    assert main(["run", str(path), "--download"]) == 2
    assert not no_network and "weights_backbone cannot be given" in capsys.readouterr().err


def test_nothing_is_downloaded_unless_the_user_asks_for_it(
    tmp_path: Path, capsys: Capture, no_network: list[Any]
) -> None:
    (tmp_path / "model.py").write_text(
        "from torchvision.models import resnet18\n\n\ndef make(weights=None):\n    return resnet18(weights=weights)\n"
    )
    path = written(tmp_path, "model.py:make", arguments={"weights": "DEFAULT"}, input_shape=[1, 3, 64, 64])
    assert main(["run", str(path), "--trust-code"]) == 2
    said = capsys.readouterr().err
    assert not no_network and "download" in said and "--download" in said
    assert main(["run", str(path), "--trust-code", "--download"]) == 2
    assert no_network


# Consent is to what was read.

HELPER = """
import colorsys
try:
    import added
except ImportError:
    pass
from parts.net import make
"""


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """A project of this user's, whose model is built by a module and a package beside the file that is named."""
    mine = tmp_path / "mine"
    spec = write_project(mine)
    (mine / "parts").mkdir()
    (mine / "parts" / "net.py").write_text(CODE)
    (mine / "parts" / "__init__.py").write_text("")
    (mine / "helper.py").write_text(HELPER)
    (mine / "model.py").write_text("from helper import make\n")
    with closing(Session()) as session:
        finish(session.open(spec))
        finish(save_project(session, str(mine / "project"), "s0"))
    return mine / "project"


@pytest.mark.parametrize(
    "file", ["model.py", "helper.py", "parts/net.py", "parts/__init__.py", "colorsys.py", "added.so"]
)
def test_code_that_was_changed_or_added_is_asked_about_again_before_it_runs(
    parted: Path, capsys: Capture, file: str
) -> None:
    changed = parted.parent / file
    commands = [["run", str(parted)], ["export", str(parted)], ["inspect", str(parted)]]
    for command in commands:
        assert main(command) == 0, command
    before = changed.read_text() if changed.exists() else ""
    changed.write_text(EVIL.removesuffix(CODE) + before)
    capsys.readouterr()
    for command in commands:
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert str(changed) in said and "changed since you last allowed" in said and "--trust-code" in said
    assert not ran(parted.parent)
    changed.write_text(before) if before else changed.unlink()
    assert main(commands[0]) == 0  # as it was when it was allowed


def test_what_is_allowed_again_is_remembered_as_it_is_by_then(parted: Path, tmp_path: Path) -> None:
    file = parted.parent / "parts" / "net.py"
    file.write_text(file.read_text() + "# better\n")
    for trusted in (True, False):
        with closing(Session(tmp_path / "session")) as session:
            spec = ModelSpec(str(parted), trust_code=trusted)
            finish(session.open(spec, evaluate=False))
            finish(save_project(session, str(parted), "s0"))
    with closing(Session(tmp_path / "session")) as session:
        finish(session.restore())
        file.write_text(file.read_text() + "# still better\n")
        # What is sealed is what has run, and not what lies there by now.
        finish(save_project(session, str(parted), "s0"))
    with closing(Session()) as session, pytest.raises(OpenError, match=r"net\.py changed since you last allowed"):
        finish(session.open(ModelSpec(str(parted)), evaluate=False))


def test_a_file_that_is_swapped_between_consent_and_import_does_not_run(
    parted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = parted.parent / "parts" / "net.py"
    honest, enter = file.read_text(), import_module("secateur.engine.foreign_code.import_file").enter

    def swapped(*given: Any) -> None:
        enter(*given)
        file.write_text(EVIL)

    with closing(Session()) as session:
        with monkeypatch.context() as patched:
            patched.setattr("secateur.engine.foreign_code.import_file.enter", swapped)
            with pytest.raises(OpenError, match=r"net\.py changed since you last allowed"):
                finish(session.open(ModelSpec(str(parted)), evaluate=False))
        assert not ran(parted.parent)
        # The answer to a question is about what it was asked of.
        file.write_text(f"{honest}# another\n")
        with pytest.raises(OpenError, match="changed since you last allowed"):
            finish(session.open(ModelSpec(str(parted)), evaluate=False))
        file.write_text(EVIL)
        with pytest.raises(OpenError, match=r"net\.py changed since you last allowed"):
            finish(session.open(ModelSpec(str(parted), trust_code=True), evaluate=False))
        assert not ran(parted.parent)
        finish(session.open(ModelSpec(str(parted), trust_code=True), evaluate=False))
    assert ran(parted.parent)


def test_a_module_that_only_a_name_leads_to_is_sealed_with_the_others(parted: Path) -> None:
    named, mine = parted.parent / "plugin.py", parted.parent
    named.write_text("width = 3\n")
    (mine / "helper.py").write_text("import importlib\nimportlib.import_module('plug' + 'in')\n" + HELPER)
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(parted), trust_code=True), evaluate=False))
        finish(save_project(session, str(parted), "s0"))
    assert main(["inspect", str(parted)]) == 0
    named.write_text(EVIL)
    assert main(["inspect", str(parted)]) == 2 and not ran(mine)


def test_a_task_file_that_was_changed_is_asked_about_again(saved: Path, capsys: Capture) -> None:
    task = saved.parent / "task.py"
    task.write_text(
        "import torch\ndef example_inputs(): return torch.zeros(2, 1, 8, 8)\ndef evaluate(model): return 1.0\n"
    )
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(saved)), evaluate=False))
        finish(session.attach_task(TaskSpec("file", str(task))))
        finish(save_project(session, str(saved), "s0"))
    assert main(["inspect", str(saved)]) == 0
    task.write_text(EVIL + task.read_text())
    assert main(["inspect", str(saved)]) == 2
    assert "task.py changed since" in capsys.readouterr().err and not ran(saved.parent)


def test_a_seal_of_an_earlier_version_which_recorded_no_content_is_asked_about_once(saved: Path) -> None:
    lines = (saved / LOG).read_text().splitlines()
    first = json.loads(lines[0])
    spec = by_absolute_paths(saved)
    first["seal"] = consent._keyed_hash([spec.source, [], f"{saved.parent / 'model.py'}"])
    (saved / LOG).write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with closing(Session()) as session:
        with pytest.raises(OpenError, match="changed since you last allowed this code to run, or were not part of it"):
            finish(session.open(ModelSpec(str(saved)), evaluate=False))
        finish(session.open(ModelSpec(str(saved), trust_code=True), evaluate=False))
        finish(save_project(session, str(saved), "s1"))
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(saved)), evaluate=False))


def by_absolute_paths(project: Path) -> ModelSpec:
    history = StateHistory(project)
    history.read()
    assert history.spec is not None
    return history.spec


def test_a_pickle_that_was_changed_is_asked_about_again(tmp_path: Path) -> None:
    spec = write_project(tmp_path / "mine")
    checkpoint = tmp_path / "mine" / "weights.pt"
    code = {}
    exec(CODE, code)
    torch.save(code["make"]().state_dict(), checkpoint)
    with closing(Session(tmp_path / "session")) as session:
        finish(session.open(replace(spec, weights=str(checkpoint), trust_pickle=True), evaluate=False))
    with closing(Session(tmp_path / "session")) as session:
        finish(session.restore())
    checkpoint.write_bytes(checkpoint.read_bytes() + b"\0")
    with closing(Session(tmp_path / "session")) as session, pytest.raises(OpenError, match=r"weights\.pt changed"):
        finish(session.restore())


def test_an_engine_that_was_lost_goes_on_with_the_code_that_was_allowed_alone(tmp_path: Path) -> None:
    spec = write_project(tmp_path / "mine")
    with closing(Session(tmp_path / "session")) as session:
        finish(session.open(spec, evaluate=False))
    for harmed in (False, True):  # as the window has it done
        code = tmp_path / "mine" / "model.py"
        code.write_text(EVIL if harmed else code.read_text())
        with closing(Session(tmp_path / "session")) as session:
            if not harmed:
                finish(session.restore(trust_code=True, unchanged=True))
                continue
            with pytest.raises(OpenError, match=r"model\.py changed since"):
                finish(session.restore(trust_code=True, unchanged=True))
    assert not ran(tmp_path)


def test_code_that_changes_while_a_model_is_open_runs_in_no_other_process(tmp_path: Path) -> None:
    with closing(Session()) as session:
        finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
        (tmp_path / "mine" / "model.py").write_text(EVIL)
        with pytest.raises(OpenError, match=r"model\.py changed since"):
            finish(export_state(session, "s0", "pytorch", str(tmp_path / "out")))
        artifacts, model, state = measurable(session, "s0")
        parcel = finish(artifacts.file(model, state, TargetSpec("torch"), _never()))
        with pytest.raises(OpenError, match=r"model\.py changed since"):
            unpack(parcel)
    assert not ran(tmp_path) and not (tmp_path / "out").exists()

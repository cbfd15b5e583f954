"""A bundle holds what it should and no more, opens without model and data, and a foreign one can do no harm."""

import hashlib
import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.replay import apply_recipe, open_recipe
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session import bundle_file as bundling
from secateur.engine.session.bundle_file import is_bundle, read_bundle
from secateur.engine.session.session import Session
from secateur.engine.session.structures_file import analysis_from_json, analysis_to_json
from secateur.engine.sharing.bundle import write_bundle
from secateur.engine.sharing.session_files import save_bundle, save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import from_identities
from secateur.engine.structures.costs import costs
from tests.engine.session.small import write_project

from .made import ANALYSIS, made_history

FILTERS = "filter|block.conv1.weight|0"
STRUCTURES = analysis_to_json(ANALYSIS)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    history, recipe = made_history(tmp_path)
    return finish(write_bundle(tmp_path / "out.zip", history, recipe, "s2", STRUCTURES))


def changed(bundle: Path, name: str, data: bytes | None, listed: bool = True) -> Path:
    """A copy of a bundle with a member replaced, and its hash in the list made right."""
    other = bundle.with_name("changed.zip")
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as target:
        members = {info.filename: source.read(info) for info in source.infolist()}
        if data is None:
            members.pop(name)
        else:
            members[name] = data
        if listed and name != "bundle.json":
            manifest = json.loads(members["bundle.json"])
            files = [one for one in manifest["files"] if one["name"] != name]
            if data is not None:
                files.append({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
            members["bundle.json"] = json.dumps(manifest | {"files": files}).encode()
        for member, content in members.items():
            target.writestr(member, content)
    return other


def test_it_holds_the_numbers_and_nothing_of_the_user(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        names = {info.filename for info in archive.infolist()}
        everything = b"".join(archive.read(name) for name in names).decode()
    assert names == {"bundle.json", "recipe.json", "recipe.py", "history.json", "structures.json", "report.html"}
    for secret in (str(tmp_path), "secret", str(Path.home()) + "/"):
        assert secret not in everything


def test_what_is_read_is_what_was_written(bundle: Path, tmp_path: Path) -> None:
    history, _ = made_history(tmp_path / "again")
    found = read_bundle(bundle)
    assert list(found.history.states) == list(history.states) and found.manifest.state == "s2"
    for one, other in zip(found.history.states.values(), history.states.values(), strict=True):
        assert (one.metrics, one.removed, one.timings, one.curve) == (
            other.metrics,
            other.removed,
            other.timings,
            other.curve,
        )
    assert found.history.baselines.keys() == history.baselines.keys()
    assert found.analysis is not None and found.absent


def test_states_and_baselines_are_read_where_the_model_is_not(bundle: Path, tmp_path: Path) -> None:
    history, _ = made_history(tmp_path / "again")
    session = Session()
    assert finish(session.open(ModelSpec(str(bundle)))).absent
    assert [one.id for one in session.states()] == list(history.states)
    assert [one.title for one in session.baselines()] == [one.title for one in history.baselines.values()] != []
    session.close()


def test_structures_survive_the_way(tmp_path: Path) -> None:
    session = Session()
    analysis = finish(session.open(write_project(tmp_path / "mine"), evaluate=False)).analysis
    session.close()
    again = analysis_from_json(analysis_to_json(analysis))
    random = np.random.default_rng(0)
    for _ in range(20):
        mask = random.random(analysis.count) < 0.3
        a, b = costs(analysis, mask), costs(again, mask)
        assert (a.parameters, a.macs) == (b.parameters, b.macs)
    assert [one.key for one in again.sets] == [one.key for one in analysis.sets]
    assert again.fixed == analysis.fixed and again.constraints == analysis.constraints


def test_an_escape_is_refused(bundle: Path) -> None:
    for name in ("../evil.py", "/etc/evil", "weights/../../x.safetensors", "weights/model.pkl", "task.py", "C:\\x"):
        with pytest.raises(OpenError, match="does not belong in a bundle"):
            read_bundle(changed(bundle, name, b"x"))
    assert not list(bundle.parent.glob("**/evil*"))


def test_a_bomb_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundling, "LIMITS", dict(bundling.LIMITS) | {"recipe.json": 100_000})
    with pytest.raises(OpenError, match="too large for a bundle"):
        read_bundle(changed(bundle, "recipe.json", b"0" * 5_000_000))
    digest = "ab" * 32
    with pytest.raises(OpenError, match="not stored as it should be"):  # weights that were squeezed
        read_bundle(changed(bundle, f"weights/{digest}.safetensors", b"0" * 1_000_000))


def test_a_change_behind_its_back_is_seen(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        recipe = archive.read("recipe.json")
    with pytest.raises(OpenError, match=r"recipe\.json was changed"):
        read_bundle(changed(bundle, "recipe.json", recipe + b" ", listed=False))
    with pytest.raises(OpenError, match=r"history\.json is missing"):
        read_bundle(changed(bundle, "history.json", None))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"parent":"s1"', '"parent":"s9"'),
        ('"id":"s1"', '"id":"s0"'),
        ('"parent":""', '"parent":"s2"'),
        ('"weights":"cdcd', '"weights":"../x'),
        ('"kind":"cut"', '"kind":"no such"'),
        ('"against":"s2"', '"against":"s7"'),
    ],
)
def test_states_that_stand_on_nothing_are_refused(bundle: Path, before: str, after: str) -> None:
    with zipfile.ZipFile(bundle) as archive:
        history = archive.read("history.json").decode()
    assert before in history
    with pytest.raises(OpenError, match="not a valid bundle"):
        read_bundle(changed(bundle, "history.json", history.replace(before, after).encode()))


@pytest.mark.parametrize("recipe", [b"not JSON", b"[]", b'{"steps": ' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_a_recipe_that_is_no_json_object_or_nested_too_deeply_is_refused(bundle: Path, recipe: bytes) -> None:
    with pytest.raises(OpenError, match="not a valid bundle"):
        read_bundle(changed(bundle, "recipe.json", recipe))


@pytest.mark.parametrize(
    "harm",
    [
        lambda plain: plain["sets"][0].update(first=5),
        lambda plain: plain["sets"][0].update(touches=[[999, 0]]),
        lambda plain: plain["tensors"][0].update(axes=[77, 77, 77, 77]),
        lambda plain: plain["index"].update(shape=[3]),
        lambda plain: plain["member_position"].update(data="####"),
        lambda plain: plain.update(axis_start={"shape": [2], "data": "AAAAAAAAAAD///////8/fw=="}),
        lambda plain: plain["block_tensor"].update(shape=[1, 1]),
        lambda plain: plain.pop("operators"),
        lambda plain: plain.update(sets="x"),
    ],
)
def test_structures_that_point_nowhere_are_refused(harm) -> None:
    content = json.loads(STRUCTURES)
    harm(content["analysis"])
    with pytest.raises(OpenError, match="structures of the model are damaged"):
        analysis_from_json(json.dumps(content).encode())


def test_what_is_no_bundle_is_a_sentence(tmp_path: Path) -> None:
    other = tmp_path / "x.zip"
    other.write_bytes(b"no zip")
    assert not is_bundle(other)
    with pytest.raises(OpenError, match="not a zip file"):
        read_bundle(other)
    with pytest.raises(OpenError, match="Cannot read"):
        read_bundle(tmp_path / "none.zip")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Cut, recovered and saved."""
    session = Session()
    opened = finish(session.open(write_project(tmp_path / "mine")))
    cut = finish(session.cut("s0", from_identities(opened.analysis, {FILTERS: [1, 2, 3]})[0]))
    state = finish(session.recover(cut.id, RecoverySettings(epochs=1, threads=1)))
    finish(save_project(session, str(tmp_path / "project"), state.id))
    session.close()
    return tmp_path / "project"


def test_from_a_project_to_a_colleague_without_the_data(project: Path, tmp_path: Path, capsys) -> None:
    out, away = tmp_path / "share.zip", tmp_path / "away"
    assert main(["bundle", str(project), "--out", str(out)]) == 0
    assert main(["report", str(project), "--out", str(tmp_path / "r.html")]) == 0
    away.mkdir()
    out = out.rename(away / "share.zip")
    capsys.readouterr()
    assert main(["bundle", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "recovered" in shown and "top-1" in shown and "does not contain the model's weights" in shown
    session = Session()
    opened = finish(session.open(ModelSpec(str(out))))
    assert opened.absent and opened.has_history
    assert [one.kind for one in session.states()] == ["original", "cut", "recovered"]
    with pytest.raises(OpenError, match="is read-only"):
        finish(session.score("s0", "l1"))
    code = str(tmp_path / "mine" / "model.py") + ":make"
    again = finish(open_recipe(session, str(out), source=code))
    assert not again.absent and again.task is None
    done = finish(apply_recipe(session, str(out), Mode.SAME_INDICES))
    assert done.states[1].removed == {FILTERS: [1, 2, 3]} and any("needs data" in str(note) for note in done.notes)
    session.close()


def test_with_weights_it_is_the_whole_session(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.zip"
    assert main(["bundle", str(project), "--out", str(out), "--with-weights"]) == 0
    (tmp_path / "away").mkdir()
    out = out.rename(tmp_path / "away" / "whole.zip")
    session = Session()
    shown = finish(session.open(ModelSpec(str(out))))
    assert "model.py" in str(shown.absent)  # the code did not come along
    (tmp_path / "away" / "model.py").write_text((tmp_path / "mine" / "model.py").read_text())
    with pytest.raises(OpenError, match="if you trust the code"):
        finish(session.open(ModelSpec(str(out))))
    opened = finish(session.open(ModelSpec(str(out), trust_code=True)))
    assert not opened.absent and opened.has_history and opened.task is None
    states = session.states()
    original = Session(project)
    finish(original.open(ModelSpec(str(project)), evaluate=False))
    assert [one.weights for one in states] == [one.weights for one in original.states()]
    ours, theirs = session.model("s2").state_dict(), original.model("s2").state_dict()
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    original.close()
    session.close()


def test_code_that_a_recipe_names_runs_with_consent_only(project: Path, tmp_path: Path, capsys) -> None:
    out, code = tmp_path / "share.zip", tmp_path / "model.py"
    assert main(["bundle", str(project), "--out", str(out)]) == 0
    code.write_text("raise SystemExit('ran')\n")
    session = Session()
    moved = tmp_path / "recipe.json"
    moved.write_bytes((project / "recipe.json").read_bytes())
    for path in (out, moved):
        with pytest.raises(OpenError, match="if you trust the code"):
            finish(open_recipe(session, str(path)))
    capsys.readouterr()
    assert main(["run", str(out)]) == 2
    assert "if you trust the code" in capsys.readouterr().err
    session.close()


def test_a_bundle_that_is_cancelled_is_not_there(project: Path, tmp_path: Path) -> None:
    session, stop = Session(), threading.Event()
    finish(session.open(ModelSpec(str(project)), evaluate=False))
    job = save_bundle(session, "s2", str(tmp_path / "x.zip"), True, stop)
    while "Weights" not in str(next(job).message):
        pass
    stop.set()
    with pytest.raises(Cancelled):
        finish(job)
    assert not list(tmp_path.glob("*x.zip*"))
    session.close()


def test_weights_others_than_their_hash_are_refused(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.zip"
    main(["bundle", str(project), "--out", str(out), "--with-weights"])
    data = bytearray(out.read_bytes())
    with zipfile.ZipFile(out) as archive:
        info = next(one for one in archive.infolist() if one.filename.startswith("weights/"))
    at = info.header_offset + 30 + len(info.filename) + info.file_size // 2
    data[at] ^= 0xFF
    out.write_bytes(data)
    (tmp_path / "model.py").write_text((tmp_path / "mine" / "model.py").read_text())
    session = Session()
    opened = finish(session.open(ModelSpec(str(out), trust_code=True)))
    assert "weights" in str(opened.absent)  # nothing of it is used
    session.close()

"""Images of one channel for a model that takes one: read as greys without being told, and remembered so."""

from contextlib import closing
from pathlib import Path

from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec, option
from tests.engine.tasks.makers import write_folder

from .small import CODE


def test_images_are_read_as_greys_where_the_model_takes_one_channel(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE)
    for number, mode in enumerate(("L", "RGB")):
        for split in ("train", "val", "test"):
            write_folder(tmp_path / mode / split, dict.fromkeys("abc", 4 + number), mode=mode)
    source = f"{tmp_path / 'net.py'}:make"
    with closing(Session(tmp_path / "session")) as session:
        opened = finish(session.open(ModelSpec(source, task=TaskSpec("folder", str(tmp_path / "L")))))
        assert opened.task is not None and opened.task.spec is not None
        assert opened.task.samples[0].shape == (1, 8, 8) and option(opened.task.spec, "grey") == "yes"
        other = finish(session.attach_task(TaskSpec("folder", str(tmp_path / "RGB"))))
        assert other.samples[0].shape == (1, 8, 8)
        finish(save_project(session, str(tmp_path / "project"), "s0"))
    with closing(Session(tmp_path / "again")) as session:
        again = finish(session.open(ModelSpec(str(tmp_path / "project"), trust_code=True)))
        assert again.task is not None and again.task.samples[0].shape == (1, 8, 8)


def test_images_of_a_model_that_takes_colours_stay_coloured(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE.replace("nn.Conv2d(1, 16", "nn.Conv2d(3, 16"))
    for split in ("train", "val", "test"):
        write_folder(tmp_path / "L" / split, dict.fromkeys("abc", 4), mode="L")
    with closing(Session(tmp_path / "session")) as session:
        task = TaskSpec("folder", str(tmp_path / "L"))
        opened = finish(session.open(ModelSpec(f"{tmp_path / 'net.py'}:make", task=task)))
        assert opened.task is not None and opened.task.spec == task
        assert opened.task.samples[0].shape == (3, 8, 8)


def test_one_mean_for_all_channels_does_not_take_the_colours_from_a_model_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE.replace("nn.Conv2d(1, 16", "nn.Conv2d(3, 16"))
    for split in ("train", "val", "test"):
        write_folder(tmp_path / "RGB" / split, dict.fromkeys("abc", 4), mode="RGB")
    task = TaskSpec("folder", str(tmp_path / "RGB"), mean=(0.5,), std=(0.25,))
    with closing(Session(tmp_path / "session")) as session:
        opened = finish(session.open(ModelSpec(f"{tmp_path / 'net.py'}:make", task=task)))
        assert opened.task is not None and opened.task.samples[0].shape == (3, 8, 8)

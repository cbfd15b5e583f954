"""What was opened is written down off the interface's thread, and only when it is news."""

import threading

from secateur.app.storage import settings
from secateur.app.storage.background import BackgroundTasks
from secateur.app.storage.settings import RecentFiles, spec_of
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec
from tests.waiting import PATIENCE


def test_what_was_opened_is_written_elsewhere_in_order_and_once(qapp, monkeypatch, own_folders) -> None:
    background, threads = BackgroundTasks("files"), list[bool]()
    write = settings.remember

    def written(title: str, source: str, kept: object, place: str) -> None:
        threads.append(threading.get_ident() == threading.main_thread().ident)
        write(title, source, kept, place)

    monkeypatch.setattr(settings, "remember", written)
    recent = RecentFiles(background)
    for title in ("ResNet", "ResNet", "ViT"):
        recent.remember(title, f"bundled:{title.lower()}")
    assert background.close(PATIENCE)
    assert threads == [False, False]
    assert settings.recent() == [("ViT", "bundled:vit"), ("ResNet", "bundled:resnet")]


def test_what_was_opened_opens_again_with_its_checkpoint_and_data_but_without_consent(
    qapp, own_folders, tmp_path
) -> None:
    background = BackgroundTasks("files")
    (tmp_path / "net.py").touch()
    task = TaskSpec("folder", "images", (0.5,), (0.25,), (28, 28), options=(("seed", "3"),))
    spec = ModelSpec(f"{tmp_path}/net.py:make", "best.pt", task=task, trust_pickle=True)
    recent = RecentFiles(background)
    recent.remember("net", spec.source, spec)
    recent.remember("ResNet", "bundled:resnet")
    assert background.close(PATIENCE)
    again = spec_of(spec.source)
    assert again == ModelSpec(spec.source, "best.pt", task=task)
    assert spec_of("bundled:resnet") is None
    assert spec_of("elsewhere.py:make") is None


def test_what_an_engine_elsewhere_opened_is_listed_beside_that_engine_alone(qapp, own_folders, tmp_path) -> None:
    background = BackgroundTasks("files")
    recent = RecentFiles(background)
    (tmp_path / "net.py").touch()
    here, there = ModelSpec(f"{tmp_path}/net.py:make"), ModelSpec("/data/net.py:make", "best.pt")
    recent.remember("net", here.source, here)
    recent.remember("net", there.source, there, "me@gpu")
    assert background.close(PATIENCE)
    assert settings.recent() == [("net", here.source)] and spec_of(there.source) is None
    assert settings.recent("me@gpu") == [("net", there.source)] and spec_of(there.source, "me@gpu") == there
    assert settings.recent("me@other") == []
    settings.forget("me@gpu")
    assert settings.recent("me@gpu") == [] and settings.recent() == [("net", here.source)]

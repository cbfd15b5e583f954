"""What was opened is written down off the interface's thread, and only when it is news."""

import threading

from PySide6.QtCore import QObject

from secateur.app import settings
from secateur.app.recent import Recent


def test_what_was_opened_is_written_elsewhere_in_order_and_once(qapp, monkeypatch, own_folders) -> None:
    parent, threads = QObject(), list[bool]()
    write = settings.remember

    def written(title: str, source: str) -> None:
        threads.append(threading.get_ident() == threading.main_thread().ident)
        write(title, source)

    monkeypatch.setattr(settings, "remember", written)
    recent = Recent(parent)
    for title in ("ResNet", "ResNet", "ViT"):
        recent.remember(title, f"bundled:{title.lower()}")
    recent.close()
    assert threads == [False, False]
    assert settings.recent() == [("ViT", "bundled:vit"), ("ResNet", "bundled:resnet")]

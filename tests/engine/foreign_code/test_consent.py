"""The key that seals what this user has made is one, whoever needs it first."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from secateur.engine.sources.named_code import seal
from secateur.engine.sources.protocol import ModelSpec


def test_those_who_need_the_key_at_once_all_have_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    drawn = secrets.token_bytes

    def slowly(count: int) -> bytes:
        time.sleep(0.05)  # long enough for the others to come
        return drawn(count)

    monkeypatch.setattr(secrets, "token_bytes", slowly)
    with ThreadPoolExecutor(8) as pool:
        seals = set(pool.map(seal, [ModelSpec("net.py:make")] * 8))
    assert len(seals) == 1 and "" not in seals
    kept = list((tmp_path / "secateur").iterdir())
    assert [file.name for file in kept] == ["key"] and kept[0].stat().st_mode & 0o77 == 0

"""What every test is held to: no unexpected log line, no thread, process, hook or window left behind.

Qt runs on its offscreen platform unless the environment names another. Where PySide6 is not installed, the window's
tests are not collected and the engine's run all the same.
"""

import gc
import importlib.util
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests import few_images as images
from tests.warm_start import AVAILABLE, warm_start

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
gc.set_threshold(50_000, 10, 10)  # traces and graphs make objects by the million and few cycles: a tenth of all time

ROOT = Path(__file__).resolve().parent.parent
HAS_QT = importlib.util.find_spec("PySide6") is not None
GRACE = 20.0  # seconds that a thread or process may take to end after its test: most are gone already
LONG = 900  # seconds for a test of a whole course; others have what pyproject.toml says

collect_ignore = [] if HAS_QT else ["app"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole courses take a minute, and several on a machine that others use as well."""
    for item in items:
        if item.get_closest_marker("end_to_end") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG))


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of every later collection: a million objects that stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Fail the run when a package of ours was also loaded under its folder's name: two copies share no class."""
    result = yield
    doubles = [name for name in ("app", "engine", "resources") if _is_ours(name)]
    if doubles:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        raise pytest.UsageError(f"loaded twice, import them as secateur.<name>: {', '.join(doubles)}")
    return result


def _is_ours(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(ROOT / name)


@pytest.fixture(autouse=True, scope="session")
def own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests seal what they make by a key of this run (`engine/foreign_code/consent.py`), not by that of a person."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep by content (`session.points.user_cache`) is this run's own, not that of a person."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def warm_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path] | None]:
    """Processes of the engine are forks of one that has loaded torch (`tests/warm_start`)."""
    if not AVAILABLE:
        yield None
        return
    with warm_start(tmp_path_factory.mktemp("warm")) as ready:
        yield ready


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The bundled images are a few, so that commands and jobs in this process take seconds (`tests/few_images.py`)."""
    with images.few_images(tmp_path_factory.mktemp("images")):
        yield


class _Collector(logging.Handler):
    """Keeps the lines that a test did not announce."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def no_unexpected_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """A line at WARNING or above from Secateur fails a test, unless the test takes `caplog` and so looks itself."""
    collector = _Collector()
    logger = logging.getLogger("secateur")
    logger.addHandler(collector)
    yield
    logger.removeHandler(collector)
    if collector.lines and "caplog" not in request.fixturenames:
        pytest.fail("unexpected log lines:\n" + "\n".join(collector.lines))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Threads, child processes, global hooks of torch and windows that a test opens end with it."""
    threads, processes = set(threading.enumerate()), set(multiprocessing.active_children())
    yield
    left = _wait_for(lambda: [t.name for t in threading.enumerate() if t not in threads and not t.daemon])
    left += _wait_for(lambda: [p.name for p in multiprocessing.active_children() if p not in processes])
    left += [*_torch_left(), *_windows_left()]
    if left:
        pytest.fail("left behind: " + ", ".join(left))


def _wait_for(remaining) -> list[str]:
    deadline = time.monotonic() + GRACE
    while (left := remaining()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _torch_left() -> list[str]:
    """Global state of torch that would change every test after this one; put right so that one fault fails one test."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return []
    module = torch.nn.modules.module
    tables = {
        "global forward hook": module._global_forward_hooks,
        "global forward pre-hook": module._global_forward_pre_hooks,
        "global backward hook": module._global_backward_hooks,
    }
    left = [name for name, table in tables.items() if table]
    for table in tables.values():
        table.clear()
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        left.append("gradients switched off")
    if torch.get_default_dtype() != torch.float32:
        torch.set_default_dtype(torch.float32)
        left.append("another default dtype")
    return left


def _windows_left() -> list[str]:
    widgets = sys.modules.get("PySide6.QtWidgets")
    if widgets is None or not isinstance(application := widgets.QApplication.instance(), widgets.QApplication):
        return []
    application.processEvents()
    left = [w for w in application.topLevelWidgets() if w.isVisible()]
    for widget in left:
        widget.close()
    return [f"window {type(w).__name__} {w.windowTitle()!r}" for w in left]

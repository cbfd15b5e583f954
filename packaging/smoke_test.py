"""Is what people install whole? Starts the installed window offscreen, prunes the bundled ResNet by half, exports it.

Run from an empty folder with the interpreter of the environment that the wheel is installed in; exit code 0 when the
ONNX file is there. The suite's own tests go deeper; this one fails when a module, a resource or a library is missing.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 900.0
"""Seconds for each step, on a slow machine."""


def main() -> int:
    """Walk from the start of the window to the file."""
    scratch = tempfile.mkdtemp()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.update(XDG_CONFIG_HOME=scratch, XDG_DATA_HOME=scratch)

    import secateur.engine
    from secateur.app.startup.application import make_application, make_window

    assert {"site-packages", "dist-packages"} & set(Path(secateur.engine.__file__).parts), (
        f"not the installed package: {secateur.engine.__file__}"
    )
    application, window = make_application(), make_window()
    failures: list[str] = []
    workbench, document = window.workbench, window.document
    document.failed.connect(lambda error: failures.append(f"{error}\n{error.details}"))

    def step(what: str, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT
        while not done():
            application.processEvents()
            time.sleep(0.01)
            if failures or time.monotonic() > deadline:
                raise SystemExit(f"{what}: {failures or 'too slow'}")
        print(f"{what}: done")

    try:
        window.show()
        step("window", lambda: window.area is not None)
        window.open_source("bundled:resnet")
        step("open", lambda: document.original is not None and document.scores is not None and not document.jobs)
        workbench.plan.suggest()
        step("plan", lambda: bool(document.marked.any()))
        workbench.states.cut()
        step("cut", lambda: document.state is not document.original and not document.busy)
        workbench.states.export("onnx", str(Path("window.onnx").absolute()))
        step("export", lambda: document.contents.last_export is not None)
    finally:
        window.close()
    original, state = document.original, document.state
    assert original is not None and state is not None and state.verification is not None
    print(f"MACs {original.macs:,} -> {state.macs:,}, verified to {state.verification.difference:.1e}")
    return 0 if state.macs <= original.macs / 2 and Path("window.onnx").stat().st_size > 10_000 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Follows the README of a PyTorch export in a process without Secateur and compares. Run by path.

What it needs of the engine it loads under another name, so that no export can import Secateur.

Reads a line of JSON {"folder", "code", "cases"} from standard input and writes {"result": {"difference": ...}}.
"""

import importlib
import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any


def main() -> None:
    """Execute the code, run the model, compare."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the user's code prints must not get into the result
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    own = _load_engine()
    compare = importlib.import_module(f"{own}.export.compare")
    stored = importlib.import_module(f"{own}.inference.model_inputs")
    sys.modules["secateur"] = None  # type: ignore[assignment]  # importing it fails from here on
    importlib.import_module(f"{own}.foreign_code.sys_path").take_source_only()
    detectors = importlib.import_module(f"{own}.adapters.torchvision_detection")
    names: dict[str, Any] = {"folder": job["folder"], "__name__": "readme"}
    exec(compile(job["code"], "README.txt", "exec"), names)
    reading = importlib.import_module(f"{own}.tracing.tree")

    def run(model: Any, inputs: Any) -> list[Any]:
        import torch

        with torch.no_grad():
            result = reading.call(model, reading.as_tensors(inputs))
        return [stored.as_array(one.tensor) for one in reading.exported_outputs(result)]

    cases, model = stored.read(job["cases"]), detectors.with_maps(names.pop("model").eval())
    worst = max(compare.difference(expected, run(model, inputs)) for inputs, expected in cases)
    # The same folder loaded otherwise has to run; by how much it may differ, the class alone knows (Gemma 2's sdpa).
    for other in names.get("others", ()):
        for inputs, expected in cases:
            found = run(other.eval(), inputs)
            worst = worst if [one.shape for one in found] == [one.shape for one in expected] else float("inf")
    output.write(json.dumps({"result": {"difference": worst}}) + "\n")
    output.flush()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _load_engine() -> str:
    """Make the engine's package known as `_own_engine`, so that its modules find each other; returns the name."""
    folder, name = Path(__file__).parents[1], "_own_engine"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name


if __name__ == "__main__":
    main()
